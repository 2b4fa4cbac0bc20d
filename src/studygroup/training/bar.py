"""One progress bar for the whole training: rate, time left, the last hold-out accuracy."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from tqdm import tqdm

from studygroup.training.history import History
from studygroup.training.module import StudyModule


class RunBar(Callback):
    """Shows updates of all epochs as one bar; draws at most ten times a second and never asks the device.

    Args:
        label: what is being trained.
        history: of the run.
    """

    def __init__(self, label: str, history: History) -> None:
        self.label = label
        self.history = history
        self._bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Opens the bar where training starts or continues."""
        assert isinstance(pl_module, StudyModule)
        total = int(trainer.num_training_batches) * (trainer.max_epochs or 0)
        self._bar = tqdm(total=total, initial=pl_module.done, desc=self.label, unit="update", leave=True)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One update further."""
        if self._bar is not None:
            self._bar.update()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Shows the epoch and what the last finished one scored."""
        if self._bar is not None and self.history.rows:
            row = self.history.rows[-1]
            self._bar.set_postfix_str(
                f"epoch {row['epoch']:.0f}, hold-out {row['holdout_best']:.1%}", refresh=False
            )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Closes the bar."""
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Closes the bar, so that the message stands below it."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
