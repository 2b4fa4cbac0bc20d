"""Report the hold-out accuracy to a study after every epoch, and stop trials that have fallen behind."""

import statistics
from collections.abc import Sequence

import optuna
from lightning.pytorch import Callback, LightningModule, Trainer

from studygroup.training.history import History
from studygroup.training.module import StudyModule
from studygroup.training.select_student import student_to_ship


class Pruning(Callback):
    """Callback that reports the accuracy of the student that would ship now and stops if the study's pruner says so.

    The accuracy is that on the hold-out rows. Training that resumes from a checkpoint reports the epochs before it,
    too. With several seeds, one training follows the other: the mean over the seeds so far is reported, at a step
    that counts the epochs of all seeds.

    Args:
        trial: the trial to report to.
        before: hold-out accuracies of the finished seeds.
        epochs: epochs of one training.

    Attributes:
        stopped: whether the pruner ended the training.
    """

    def __init__(self, trial: optuna.Trial, *, before: Sequence[float], epochs: int) -> None:
        self.trial, self.before, self.epochs = trial, list(before), epochs
        self.stopped = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the epochs that the checkpoint holds."""
        assert isinstance(pl_module, StudyModule)
        rows = next(callback for callback in trainer.callbacks if isinstance(callback, History)).rows  # type: ignore[attr-defined]
        for row in rows:
            self._report(pl_module, row.epoch, row.holdout)
        if rows:
            self._look(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the epoch."""
        assert isinstance(pl_module, StudyModule)
        self._report(pl_module, trainer.current_epoch + 1, pl_module.holdout.students)
        self._look(trainer)

    def _report(self, module: StudyModule, epoch: int, accuracies: Sequence[float]) -> None:
        now = accuracies[student_to_ship(module.task, accuracies)]
        step = len(self.before) * self.epochs + epoch
        self.trial.report(statistics.fmean([*self.before, now]), step)

    def _look(self, trainer: Trainer) -> None:
        if self.trial.should_prune():
            self.stopped = trainer.should_stop = True  # the epoch's figures and checkpoint are still written
