"""Select the student that ships, on the hold-out rows alone."""

from dataclasses import dataclass
from typing import Literal

from lightning.pytorch import LightningModule, Trainer
from torch import nn

from studygroup.integrations.lightning import KeepsBest
from studygroup.shipping import student_to_ship
from studygroup.task import CollaborativeLearning
from studygroup.training.keep_history import History
from studygroup.training.module import StudyModule
from studygroup.training.scoring_by import ScoringBy


@dataclass(frozen=True)
class SelectedStudent:
    """The student that ships.

    Attributes:
        student: number, from 0.
        epoch: the epoch after which it was chosen, from 1.
        holdout: its share of right answers on the hold-out rows, in [0, 1].
        net: the plain network.
    """

    student: int
    epoch: int
    holdout: float
    net: nn.Module


class BestSoFar(KeepsBest):
    """Callback that keeps the student with the best score on the hold-out rows of all epochs, or the leader."""

    def __init__(self, by: ScoringBy) -> None:
        super().__init__()
        self.by = by

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Copy the weights of the epoch's best student if it is better than any before."""
        assert isinstance(pl_module, StudyModule)
        accuracies, metric = pl_module.holdout.students, self.by.metric
        ranked = None if metric is None else self.by.scores(pl_module.figures[metric].students)
        self.keep(pl_module.task, accuracies, epoch=trainer.current_epoch + 1, by=ranked)


def select_student(
    select: Literal["last", "best"], history: History, task: CollaborativeLearning, best: BestSoFar
) -> SelectedStudent:
    """Return the student that ships: the best of the last epoch, or of all epochs, which `best` has kept."""
    if select == "best":
        net = task.shipped.export(best.student)
        net.load_state_dict(best.weights)
        return SelectedStudent(best.student, best.epoch, best.holdout, net)
    row, metric = history.rows[-1], best.by.metric
    ranked = row.holdout
    if metric is not None:
        ranked = best.by.scores([row.metrics[f"{metric}_{k}"] for k in range(len(ranked))])
    student = student_to_ship(task, ranked)
    return SelectedStudent(student, row.epoch, row.holdout[student], task.shipped.export(student))
