"""The run folder: the paths of its files, and the lock of the process that works in it."""

import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from studygroup.files import WRITING, checked, is_alive, read_object, write_text
from studygroup.training.migrate import ALWAYS, upgraded
from studygroup.training.read_yaml import parse_yaml
from studygroup.training.summary import Summary
from studygroup.untrusted import parse_json, read_text

WEIGHTS = "student.safetensors"
_AGAIN = "train the run again in a new folder"


@dataclass(frozen=True)
class RunFolder:
    """Paths of everything that a run leaves behind.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The complete configuration; `studygroup train --config` takes it."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """The epochs' figures, one line per epoch."""
        return self.path / "metrics.csv"

    @property
    def checkpoints(self) -> Path:
        """The folder of the last two checkpoints."""
        return self.path / "checkpoints"

    @property
    def weights(self) -> Path:
        """The shipped student's weights."""
        return self.path / WEIGHTS

    @property
    def card(self) -> Path:
        """The model card of the shipped student."""
        return self.path / "README.md"

    @property
    def routes(self) -> Path:
        """The route table: which student takes which module."""
        return self.path / "routes.json"

    @property
    def summary(self) -> Path:
        """Scores and cost; the file exists if and only if the run is finished."""
        return self.path / "summary.json"

    @property
    def provenance(self) -> Path:
        """Fingerprint of the data, versions, code and machine; runs of earlier versions have none."""
        return self.path / "provenance.json"

    @property
    def confusion(self) -> Path:
        """The shipped student's answers on the test rows, by class; runs of earlier versions have none."""
        return self.path / "confusion.csv"

    @property
    def report(self) -> Path:
        """The report that `studygroup train` writes, a single HTML file."""
        return self.path / "report.html"

    @property
    def baseline(self) -> "RunFolder":
        """The run folder of the plain baseline that was trained beside the run."""
        return RunFolder(self.path / "baseline")

    def read_config(self) -> dict[str, Any]:
        """Read the configuration of the run.

        Raises:
            ValueError: the folder holds no run, or its configuration cannot be read.
        """
        config = _read(self.config, parse_yaml)
        if not isinstance(config, dict):
            raise ValueError(f"{self.config} is not a configuration; {_AGAIN}")
        lacking = [name for name in ALWAYS if name not in config]
        if lacking:
            raise ValueError(f"{self.config} lacks {', '.join(lacking)}; {_AGAIN}")
        return upgraded(config)

    def read_summary(self) -> Summary:
        """Read the summary of the finished run.

        Raises:
            ValueError: the folder holds no finished run, or its summary cannot be read.
        """
        content = checked(self.summary, _read(self.summary, parse_json), way_out=_AGAIN)
        try:
            return Summary.from_plain(content)
        except ValueError as error:
            raise ValueError(f"{self.summary} {error}; {_AGAIN}") from error

    def write_config(self, config: dict[str, Any]) -> None:
        """Write the configuration."""
        write_text(self.config, yaml.safe_dump(config, sort_keys=False))

    def write_summary(self, summary: Summary) -> None:
        """Write the summary, which marks the run as finished."""
        write_text(self.summary, json.dumps(summary.to_plain(), indent=2) + "\n")


def _read(path: Path, parse: Callable[[str], Any]) -> Any:
    """Parse a file of a run folder, with an error that says what is missing or damaged."""
    try:
        text = read_text(path, folder=path.parent)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(
            f"{path.parent} holds no {'finished ' if path.name == 'summary.json' else ''}run: {path.name} is "
            "missing; give the folder of a run, or continue an unfinished one with `studygroup train --resume`"
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} cannot be read ({error}); {_AGAIN}") from error
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error}); {_AGAIN}") from error


class FolderGoneError(RuntimeError):
    """The run folder was removed while the run trained."""


def check_there(folder: RunFolder) -> None:
    """Refuse to go on where the run folder was removed: what is written would be half a run.

    Raises:
        FolderGoneError: its configuration is gone.
    """
    if not folder.config.is_file():
        raise FolderGoneError(
            f"{folder.config} is gone: the run folder was removed or emptied while the run trained, and nothing more "
            "is written there; train again, in a folder that stays"
        )


class FolderInUseError(RuntimeError):
    """Another process works in the folder."""


LOCK, HOLDER = ".lock", ".holder.json"
_held: set[tuple[Path, int, int]] = set()  # folders, and the process and the thread that locked them


@contextmanager
def try_lock(folder: Path) -> Iterator[bool]:
    """Try to lock a folder for this thread and yield whether it was free; the system unlocks it at process exit.

    Args:
        folder: created if it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = _key(folder)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    _held.add(key)
    try:
        write_text(folder / HOLDER, json.dumps(_this_process()) + "\n")
        yield True
    finally:
        _held.discard(key)
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Lock a folder, see `try_lock`, unless this thread has done so already.

    Args:
        folder: created if it is missing, and removed again if an error leaves nothing in it.

    Raises:
        FolderInUseError: another process holds it; says which, and nothing was written.
    """
    if _key(folder) in _held:
        yield
        return
    new = not folder.exists()
    with try_lock(folder) as free:
        if not free:
            raise FolderInUseError(
                f"{folder} is in use by {_holder(folder)}; wait until it ends, stop it, or give another --run_dir"
            )
        try:
            yield
        except BaseException:
            if new and is_unused(folder):
                shutil.rmtree(folder, ignore_errors=True)
            raise


def _key(folder: Path) -> tuple[Path, int, int]:
    return folder.resolve(), os.getpid(), threading.get_ident()


def is_unused(folder: Path) -> bool:
    """Return whether a folder is missing or holds no more than a lock and writes that were interrupted."""
    names = (path.name for path in folder.iterdir()) if folder.exists() else iter(())
    return all(name in (LOCK, HOLDER) or name.startswith(WRITING) for name in names)


def _this_process() -> dict[str, Any]:
    now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    return {"process": os.getpid(), "host": socket.gethostname(), "since": now}


def _holder(folder: Path) -> str:
    """Return which process holds a folder, in words; it may be about to write them down."""
    for _ in range(10):
        with suppress(OSError, ValueError):
            found = read_object(folder / HOLDER, way_out="", holds=("process", "host", "since"))
            if found["host"] != socket.gethostname() or is_alive(int(found["process"])):
                return f"process {found['process']} on {found['host']}, since {found['since']}"
        time.sleep(0.05)
    return "another process"
