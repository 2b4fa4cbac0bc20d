"""Checkpoints that survive a kill: written atomically, the last two kept; `checkpoints` reads them."""

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from studygroup import stopping
from studygroup._engine.ranks import over_ranks
from studygroup.files import write_atomically
from studygroup.training.checkpoints import saved

KEPT = 2


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoint writer that renames into place: a kill leaves the old file or the new one, never a partial one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Save with `torch.save`, atomically."""
        write_atomically(Path(path), lambda temporary: torch.save(checkpoint, temporary))


class LastTwo(Checkpoint):
    """Callback that saves the state of training after every n-th epoch and the last, and keeps the last two.

    Args:
        folder: where checkpoints are written, as `epoch-0007.ckpt` after seven epochs.
        every: n.
        config: the run's configuration, stored in every checkpoint to identify the run.
    """

    def __init__(self, folder: Path, *, every: int = 1, config: dict[str, Any]) -> None:
        self.folder = folder
        self.every = every
        self.config = config
        self.ended = False

    def state_dict(self) -> dict[str, Any]:
        """Return the run's configuration, and whether a callback ended the training here."""
        return {"config": self.config, "ended": self.ended}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save; Lightning calls checkpoint callbacks after all others, so their states are already this epoch's.

        Raises:
            Stopped: a signal has asked to stop; the epoch is saved.
        """
        done, self.ended = trainer.current_epoch + 1, trainer.should_stop
        last = self.ended or done == trainer.max_epochs
        asked = over_ranks(
            torch.tensor(stopping.asked(), dtype=torch.int32, device=trainer.strategy.root_device), "max"
        )
        if done % self.every == 0 or last or asked:
            trainer.save_checkpoint(self.folder / f"epoch-{done:04d}.ckpt")
            for old in saved(self.folder)[KEPT:] if trainer.is_global_zero else ():
                old.unlink(missing_ok=True)
        stopping.stop_if_asked()
