"""The run folder: the paths of its files, and the lock of the process that works in it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from studygroup.files import checked, write_text
from studygroup.training.migrate import upgraded
from studygroup.training.read_yaml import parse_yaml
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
        return upgraded(config)

    def read_summary(self) -> dict[str, Any]:
        """Read the summary of the finished run.

        Raises:
            ValueError: the folder holds no finished run, or its summary cannot be read.
        """
        return checked(
            self.summary, _read(self.summary, parse_json), way_out=_AGAIN, holds=("run", "shipped")
        )

    def write_config(self, config: dict[str, Any]) -> None:
        """Write the configuration."""
        write_text(self.config, yaml.safe_dump(config, sort_keys=False))

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write the summary, which marks the run as finished."""
        write_text(self.summary, json.dumps(summary, indent=2) + "\n")


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


@contextmanager
def try_lock(folder: Path) -> Iterator[bool]:
    """Try to lock a folder for this process and yield whether it was free; the system unlocks it at process exit."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
