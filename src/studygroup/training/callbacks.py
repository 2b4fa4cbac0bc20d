"""Callbacks: stop where the loss is no longer finite; one progress bar for the whole training."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from tqdm import tqdm

from studygroup.training.checkpoints import saved
from studygroup.training.folder import RunFolder
from studygroup.training.history import History
from studygroup.training.module import StudyModule


class NonFiniteLossError(RuntimeError):
    """The training loss became infinite or not a number."""


class FiniteLoss(Callback):
    """Callback that checks the losses every so many updates and before each scoring, so that no step has to wait.

    Args:
        folder: the run folder, for the message.
        every: updates between two checks.
    """

    def __init__(self, folder: RunFolder, *, every: int = 200) -> None:
        self.folder = folder
        self.every = every

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check the losses every `every` updates."""
        if (batch_idx + 1) % self.every == 0:
            self._look(pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the losses before an epoch's figures are computed and its checkpoint is written."""
        self._look(pl_module)

    def _look(self, module: LightningModule) -> None:
        assert isinstance(module, StudyModule)
        step = module.first_bad_step()
        if step < 0:
            return
        good = saved(self.folder.checkpoints)
        kept = f"the last good checkpoint is {good[0]}" if good else "no epoch was finished before"
        raise NonFiniteLossError(
            f"the loss was not finite at update {step + 1} (epoch {step // module.updates + 1}); {kept}, and the "
            f"figures up to it are in {self.folder.metrics}. Try a lower learning rate (--optimizer.lr), "
            "--gradient_clip_val 1, or --precision 32-true if it was lower; a new configuration needs a new --run_dir"
        )


class RunBar(Callback):
    """Progress bar over the updates of all epochs; redraws at most ten times a second and never waits for the device.

    Args:
        label: name of what is being trained.
        history: the run's history.
    """

    def __init__(self, label: str, history: History) -> None:
        self.label = label
        self.history = history
        self._bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar where training starts or resumes."""
        assert isinstance(pl_module, StudyModule)
        total = int(trainer.num_training_batches) * (trainer.max_epochs or 0)
        self._bar = tqdm(total=total, initial=pl_module.done, desc=self.label, unit="update", leave=True)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance the bar by one update."""
        if self._bar is not None:
            self._bar.update()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the last finished epoch and the best hold-out accuracy of its students."""
        if self._bar is not None and self.history.rows:
            row = self.history.rows[-1]
            self._bar.set_postfix_str(f"epoch {row.epoch}, hold-out {row.holdout_best:.1%}", refresh=False)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the bar, so that the message appears below it."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
