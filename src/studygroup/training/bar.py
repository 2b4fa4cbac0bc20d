"""One progress bar for the whole training: rate, time left, the last hold-out accuracy."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from tqdm import tqdm

from studygroup.training.history import History
from studygroup.training.module import StudyModule


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
            self._bar.set_postfix_str(
                f"epoch {row['epoch']:.0f}, hold-out {row['holdout_best']:.1%}", refresh=False
            )

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
