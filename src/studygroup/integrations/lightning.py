"""A Lightning callback that keeps the student that ships."""

import math
from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from studygroup.shipping import Counts, student_to_ship
from studygroup.task import CollaborativeLearning


class KeepsBest(Callback):
    """The base of callbacks that keep the student with the best accuracy of all epochs, or the leader.

    Its weights are part of the checkpoint, so a resumed run has them. Among equals the first is kept.

    Attributes:
        student: the student that ships, from 0.
        epoch: the epoch after which it was kept, from 1; 0 before any.
        holdout: its accuracy on the hold-out rows, in [0, 1]; -1 before any.
        score: what it was chosen by, more is better.
        weights: its state dict, on the CPU.
    """

    def __init__(self) -> None:
        self.student, self.epoch, self.holdout, self.score = 0, 0, -1.0, -math.inf
        self.weights: dict[str, Tensor] = {}

    def keep(
        self,
        task: CollaborativeLearning,
        accuracies: Sequence[float],
        *,
        epoch: int,
        by: Sequence[float] | None = None,
    ) -> None:
        """Copy the weights of an epoch's best student if it is better than any before.

        Args:
            task: holds the students.
            accuracies: on the hold-out rows, of each.
            epoch: from 1.
            by: scores that decide in place of accuracies, more is better.
        """
        scores = accuracies if by is None else by
        best = student_to_ship(task, scores)
        if not self.weights or scores[best] > self.score:
            self.student, self.epoch = best, epoch
            self.holdout, self.score = accuracies[best], scores[best]
            exported = task.shipped.export(best).state_dict()
            self.weights = {name: value.detach().cpu().clone() for name, value in exported.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the choice so far, for the checkpoint."""
        return {k: getattr(self, k) for k in ("student", "epoch", "holdout", "score", "weights")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the choice so far from a checkpoint."""
        before = {"score": state_dict["holdout"]}  # of versions that chose by accuracy alone
        for name in self.state_dict():
            setattr(self, name, (before | state_dict)[name])


class BestStudent(KeepsBest):
    """Callback that scores every student on the validation batches, logs it, and keeps the best of all epochs.

    Works beside any validation step of the module, for batches `(x, y)` or mappings with `"labels"`; it makes a pass
    of its own. Logged are `NAME` of the student that would ship, `NAME_student_k` of each and `NAME_students_mean`.

    Args:
        name: of the logged accuracy.

    Example:
        >>> best = BestStudent()
        >>> Trainer(callbacks=[best]).fit(module)  # whose `self.task` is the task
        >>> net = best.network(module.task)
    """

    def __init__(self, name: str = "val_accuracy") -> None:
        super().__init__()
        self.name = name

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        self._counts = Counts(_task_of(pl_module))

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the right answers of a batch, of the first loader alone."""
        if dataloader_idx == 0:
            self._counts.add(batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the students' accuracies, and keep the best of `fit`; not in the check before training."""
        if trainer.sanity_checking:
            return
        task = _task_of(pl_module)
        scores = self._counts.accuracies()
        pl_module.log(self.name, scores[student_to_ship(task, scores)], prog_bar=True)
        pl_module.log(f"{self.name}_students_mean", sum(scores) / len(scores))
        pl_module.log_dict({f"{self.name}_student_{k}": score for k, score in enumerate(scores)})
        if (
            trainer.state.fn == TrainerFn.FITTING
        ):  # `validate` may score rows by which nothing is to be chosen
            self.keep(task, scores, epoch=trainer.current_epoch + 1)

    def network(self, task: CollaborativeLearning) -> nn.Module:
        """Return the plain network that was kept, in evaluation mode.

        Args:
            task: the task, for the network's class.

        Raises:
            ValueError: nothing was validated yet.
        """
        if not self.weights:
            raise ValueError("no student was kept yet; fit with validation batches first")
        net = task.shipped.export(self.student)
        net.load_state_dict(self.weights)
        return net.eval()


def _task_of(module: LightningModule) -> CollaborativeLearning:
    """Return the one task among a module's parts.

    Raises:
        ValueError: none, or several.
    """
    found = [part for part in module.modules() if isinstance(part, CollaborativeLearning)]
    if len(found) != 1:
        raise ValueError(
            f"{type(module).__name__} holds {len(found)} tasks; let it hold one, such as self.task"
        )
    return found[0]
