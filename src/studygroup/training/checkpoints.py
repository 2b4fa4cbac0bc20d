"""The checkpoints of a run folder: the newest readable one is used; `save_checkpoints` writes them."""

import dataclasses
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from packaging.version import InvalidVersion, Version
from torch import Tensor

from studygroup.training.config import Config, check_same
from studygroup.training.history import EpochRow
from studygroup.training.migrate import upgraded
from studygroup.training.plain import as_kind
from studygroup.training.settings import RESULT_STAYS
from studygroup.trust import NotAllowedError
from studygroup.untrusted import check_file, check_loaded, check_unpacked

_NAME = re.compile(r"epoch-(\d+)\.ckpt")
_VERSION = "pytorch-lightning_version"


class UnreadableCheckpointWarning(UserWarning):
    """A checkpoint could not be read; the one before it is used, if there is one."""


def saved(folder: Path) -> list[Path]:
    """List the checkpoints in a folder, newest first."""
    files = (path for path in folder.glob("epoch-*.ckpt") if _NAME.fullmatch(path.name))
    return sorted(files, key=lambda path: int(path.stem.split("-")[1]), reverse=True)


@dataclass(frozen=True, kw_only=True)
class _Callbacks:
    """What the run's own callbacks keep in a checkpoint, by their names."""

    LastTwo: "_Config"
    History: "_Rows"


@dataclass(frozen=True)
class _Config:
    config: Mapping[str, Any]
    ended: bool = False


@dataclass(frozen=True)
class _Rows:
    rows: tuple[Mapping[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Saved:
    """The content of a checkpoint.

    Attributes:
        epoch: number of the last epoch, from 0.
        global_step: updates done.
        state_dict: the state of the Lightning module.
        callbacks: what callbacks keep.
        optimizer_states: states of the optimisers, for Lightning.
        lr_schedulers: likewise of the schedules.
        loops: likewise of its loops.
        path: the file.
    """

    epoch: int
    global_step: int
    state_dict: Mapping[str, Any]
    callbacks: _Callbacks
    optimizer_states: tuple[Mapping[str, Any], ...]
    lr_schedulers: tuple[Mapping[str, Any], ...]
    loops: Mapping[str, Any]
    path: Path = Path()

    @property
    def ended(self) -> bool:
        """Whether a callback ended the training with this epoch."""
        return self.callbacks.LastTwo.ended

    @classmethod
    def read(cls, path: Path) -> "Saved":
        """Read a checkpoint onto the CPU; nothing in it is executed.

        Raises:
            Exception: whatever torch raises on a damaged file.
            ValueError: a value is missing or of another type.
        """
        check_file(path, folder=path.parent)
        check_unpacked(path)
        # our own files hold tensors, numbers and text only
        content = torch.load(path, map_location="cpu", weights_only=True)
        check_loaded(content, path)
        facts: dict[str, Any] = as_kind(Mapping[str, Any], content)
        found: Saved = as_kind(cls, facts)
        _check_version(as_kind(str, facts.get(_VERSION), _VERSION))
        rows = [EpochRow.from_columns(row) for row in found.callbacks.History.rows]
        if len(rows) != found.epoch + 1:
            raise ValueError(f"has figures of {len(rows)} epochs, where epoch is {found.epoch}")
        for name, value in found.state_dict.items():
            if isinstance(value, Tensor) and value.is_floating_point() and value.isnan().any():
                raise ValueError(f"has state_dict.{name} with values that are not a number")
        return dataclasses.replace(found, path=path)


def _check_version(said: str) -> None:
    """Refuse what Lightning, which compares versions to upgrade older checkpoints, could not read as one."""
    try:
        Version(said)
    except InvalidVersion as error:
        raise ValueError(f"has {_VERSION}={said!r:.80}, which is no version") from error


def newest_readable(folder: Path) -> Saved | None:
    """Load the newest checkpoint that can be read, among those of `LastTwo` in a folder, onto the CPU.

    Returns:
        Its content; None where no checkpoint can be read.

    Warns:
        UnreadableCheckpointWarning: for each newer one that is truncated or otherwise broken.
    """
    files = saved(folder)
    for path in files:
        try:
            return Saved.read(path)
        except NotAllowedError:
            raise
        except Exception as error:  # torch.load raises almost anything on a damaged file
            left = "going back to the one before" if path != files[-1] else "no earlier one is left"
            warnings.warn(
                f"{path} cannot be read ({type(error).__name__}: {' '.join(str(error).split())[:120]}); {left}",
                UnreadableCheckpointWarning,
                stacklevel=2,
            )
    return None


def newest_of_run(folder: Path, config: Config, state: Mapping[str, Any]) -> Saved | None:
    """Load the newest readable checkpoint of a run, see `newest_readable`, for a module of the given state.

    Raises:
        ConfigurationChangedError: it belongs to another run.
        ValueError: its tensors are not those of the module.
    """
    found = newest_readable(folder)
    if found is None:
        return None
    there = upgraded(dict(found.callbacks.LastTwo.config))
    check_same(there, config, ignore=RESULT_STAYS, where=f"checkpoint {found.path}")
    wrong = sorted(_kinds(found.state_dict).items() ^ _kinds(state).items())
    if wrong:
        listed = ", ".join(f"{name} {kind}" for name, kind in wrong[:_SHOWN])
        raise ValueError(
            f"{found.path} does not fit the network and recipe of its configuration: {listed}"
            f"{', ...' if len(wrong) > _SHOWN else ''} stand in one of both alone; train it again in a new folder"
        )
    return found


_SHOWN = 3


def _kinds(state: Mapping[str, Any]) -> dict[str, str]:
    """Return shape and precision of each tensor; extra states, once others, are checked where they are loaded."""
    return {
        name: f"{tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
        for name, value in state.items()
        if name.rpartition(".")[2] != "_extra_state"
    }
