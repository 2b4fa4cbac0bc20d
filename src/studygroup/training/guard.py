"""Stop a run whose loss is no longer finite, and say what to try."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from studygroup.training.checkpoints import saved
from studygroup.training.folder import RunFolder
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
