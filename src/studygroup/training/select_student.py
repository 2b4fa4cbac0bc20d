"""Select the student that ships, on the hold-out rows alone."""

from dataclasses import dataclass

from lightning.pytorch import LightningModule, Trainer
from torch import nn

from studygroup.integrations.lightning import KeepsBest
from studygroup.shipping import student_to_ship
from studygroup.task import CollaborativeLearning
from studygroup.training.keep_history import History
from studygroup.training.module import StudyModule


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
    """Callback that keeps the student with the best hold-out accuracy of all epochs, or the leader."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Copy the weights of the epoch's best student if it is better than any before."""
        assert isinstance(pl_module, StudyModule)
        self.keep(pl_module.task, pl_module.holdout.students, epoch=trainer.current_epoch + 1)


def best_at_last_epoch(history: History, task: CollaborativeLearning) -> tuple[int, int, float]:
    """Return number, epoch and hold-out accuracy of the student that ships by the last epoch."""
    row = history.rows[-1]
    best = student_to_ship(task, row.holdout)
    return best, row.epoch, row.holdout[best]
