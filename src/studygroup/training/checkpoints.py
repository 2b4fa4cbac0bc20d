"""Checkpoints that survive a kill: written whole or not at all, the last two kept, the newest readable used."""

import re
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from studygroup.files import write_atomically

_NAME = re.compile(r"epoch-(\d+)\.ckpt")
KEPT = 2


class UnreadableCheckpointWarning(UserWarning):
    """A checkpoint could not be read; the one before it is used, if there is one."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the destination and renames: a kill leaves the old file or the new one, never half a file."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Saves with `torch.save`, atomically.

        Args:
            checkpoint: the state of training.
            path: where to.
            storage_options: not used.
        """
        write_atomically(Path(path), lambda temporary: torch.save(checkpoint, temporary))


class LastTwo(Checkpoint):
    """Saves the state of training at the end of every n-th epoch and of the last, and keeps the last two.

    Args:
        folder: where the checkpoints go, as `epoch-0007.ckpt` after seven epochs.
        every: n.
        config: of the run, kept in every checkpoint, so that it is known whose it is.
    """

    def __init__(self, folder: Path, *, every: int = 1, config: dict[str, Any]) -> None:
        self.folder = folder
        self.every = every
        self.config = config

    def state_dict(self) -> dict[str, Any]:
        """The run's configuration."""
        return {"config": self.config}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves; Lightning calls checkpoint callbacks after all others, so their states are of this epoch."""
        done = trainer.current_epoch + 1
        if done % self.every == 0 or done == trainer.max_epochs:
            trainer.save_checkpoint(self.folder / f"epoch-{done:04d}.ckpt")
            for old in saved(self.folder)[KEPT:]:
                old.unlink(missing_ok=True)


def saved(folder: Path) -> list[Path]:
    """Checkpoints in a folder, newest first."""
    files = (path for path in folder.glob("epoch-*.ckpt") if _NAME.fullmatch(path.name))
    return sorted(files, key=lambda path: int(path.stem.split("-")[1]), reverse=True)


def newest_readable(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that can be read, with its content on the CPU.

    Args:
        folder: where `LastTwo` wrote.

    Returns:
        None where there is none.

    Warns:
        UnreadableCheckpointWarning: for each newer one that is truncated or otherwise broken.
    """
    files = saved(folder)
    for path in files:
        try:
            # our own files hold tensors, numbers and text only, so nothing is executed on loading
            return path, torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch.load raises almost anything on a damaged file
            left = "going back to the one before" if path != files[-1] else "no earlier one is left"
            warnings.warn(
                f"{path} cannot be read ({type(error).__name__}: {str(error)[:80]}); {left}",
                UnreadableCheckpointWarning,
                stacklevel=2,
            )
    return None
