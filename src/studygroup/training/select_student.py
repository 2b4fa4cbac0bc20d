"""Select the student that ships, on the hold-out rows alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from studygroup.task import CollaborativeLearning
from studygroup.training.history import History
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


class BestSoFar(Callback):
    """Callback that keeps the weights of the student with the best hold-out accuracy of all epochs, or of the leader.

    The weights are part of the checkpoint, so a resumed run has them. Among equals the first is kept.
    """

    def __init__(self) -> None:
        self.student, self.epoch, self.holdout = 0, 0, -1.0
        self.weights: dict[str, Tensor] = {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Copy the weights of the epoch's best student if it is better than any before."""
        assert isinstance(pl_module, StudyModule)
        scores = pl_module.holdout
        best = student_to_ship(pl_module.task, scores.students)
        if scores.students[best] > self.holdout:
            self.student, self.epoch, self.holdout = best, trainer.current_epoch + 1, scores.students[best]
            exported = pl_module.task.shipped.export(best).state_dict()
            self.weights = {name: value.detach().cpu().clone() for name, value in exported.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the choice so far, for the checkpoint."""
        return {k: getattr(self, k) for k in ("student", "epoch", "holdout", "weights")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the choice so far from a checkpoint."""
        for name in self.state_dict():
            setattr(self, name, state_dict[name])


def student_to_ship(task: CollaborativeLearning, accuracies: Sequence[float]) -> int:
    """Return the student that would ship by these hold-out accuracies: the leader, else the first of the best."""
    leader = task.group.routes.leader
    return accuracies.index(max(accuracies)) if leader is None else leader


def best_at_last_epoch(history: History, task: CollaborativeLearning) -> tuple[int, int, float]:
    """Return number, epoch and hold-out accuracy of the student that ships by the last epoch."""
    row = history.rows[-1]
    best = student_to_ship(task, row.holdout)
    return best, row.epoch, row.holdout[best]
