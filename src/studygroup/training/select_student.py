"""Select the student that ships, on the hold-out rows alone."""

from dataclasses import dataclass

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


def best_at_last_epoch(
    history: History, task: CollaborativeLearning, by: ScoringBy
) -> tuple[int, int, float]:
    """Return number, epoch and hold-out accuracy of the student that ships by the last epoch."""
    row = history.rows[-1]
    ranked = row.holdout
    if by.metric is not None:
        ranked = by.scores([row.metrics[f"{by.metric}_{k}"] for k in range(len(row.holdout))])
    best = student_to_ship(task, ranked)
    return best, row.epoch, row.holdout[best]
