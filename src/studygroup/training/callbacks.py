"""Callbacks: stop where the loss is no longer finite, or at a signal; one progress bar for the whole training."""

import math
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from tqdm import tqdm

from studygroup import stopping
from studygroup.training.checkpoints import saved
from studygroup.training.folder import RunFolder, check_there
from studygroup.training.keep_history import History
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


class FolderStays(Callback):
    """Callback that stops where the run folder was removed, before something is written into a new one."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before an epoch is trained."""
        check_there(self.folder)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before an epoch's figures are written."""
        check_there(self.folder)


class StopAtEpochEnd(Callback):
    """Callback that lets a signal wait for the end of the epoch, if that is near, see `studygroup.stopping`.

    The end is the checkpoint: `LastTwo` stops once it is written.
    """

    def __init__(self) -> None:
        self._began = self._scoring = 0.0
        self._done, self._updates = 0, 0
        self._pace = math.inf  # seconds of an update
        self._closing = 0.0  # seconds from the scoring to the next epoch

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals back from Lightning, which ends the program without a word or a status."""
        stopping.mind()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to measure the epoch."""
        now = time.monotonic()
        self._closing = now - self._scoring if self._scoring else 0.0
        self._began, self._scoring = now, 0.0
        self._done, self._updates = 0, int(trainer.num_training_batches)
        stopping.finish_first(self._seconds_left)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Measure the pace."""
        self._done += 1
        self._pace = (time.monotonic() - self._began) / self._done

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to measure what is left of the epoch after its updates."""
        self._scoring = time.monotonic()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let signals stop at once."""
        stopping.finish_first(None)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Let signals stop at once."""
        stopping.finish_first(None)

    def _seconds_left(self) -> float:
        """Estimate how long the epoch still takes, its scoring and its checkpoint as long as those before."""
        if self._scoring:
            return max(0.0, self._closing - (time.monotonic() - self._scoring))
        left = self._updates - self._done
        return (self._pace * left if left else 0.0) + self._closing


class RunBar(Callback):
    """Progress bar over all updates; redraws at most ten times a second and never waits for the device."""

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

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the last finished epoch: its figures are added only after `on_train_epoch_end` of callbacks."""
        self._show()

    def _show(self) -> None:
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
            self._show()
            self._bar.close()
            self._bar = None
