"""The run folder: what lies where, and who works in it."""

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

WEIGHTS = "student.safetensors"
_AGAIN = "train the run again in a new folder"


@dataclass(frozen=True)
class RunFolder:
    """Names of everything that a run leaves behind.

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
        """One line an epoch."""
        return self.path / "metrics.csv"

    @property
    def checkpoints(self) -> Path:
        """The last two states of training."""
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
        """Which student takes which module."""
        return self.path / "routes.json"

    @property
    def summary(self) -> Path:
        """Scores and cost; it is there when, and only when, the run is finished."""
        return self.path / "summary.json"

    @property
    def report(self) -> Path:
        """The report that `studygroup train` writes, one file that any browser opens."""
        return self.path / "report.html"

    @property
    def baseline(self) -> "RunFolder":
        """The plain baseline that was trained beside the run."""
        return RunFolder(self.path / "baseline")

    def read_config(self) -> dict[str, Any]:
        """The configuration of the run that lies here.

        Raises:
            ValueError: no run lies here, or its configuration cannot be read.
        """
        config = _read(self.config, yaml.safe_load)
        if not isinstance(config, dict):
            raise ValueError(f"{self.config} is not a configuration; {_AGAIN}")
        return upgraded(config)

    def read_summary(self) -> dict[str, Any]:
        """The summary of the finished run that lies here.

        Raises:
            ValueError: no finished run lies here, or its summary cannot be read.
        """
        return checked(
            self.summary, _read(self.summary, json.loads), way_out=_AGAIN, holds=("run", "shipped")
        )

    def write_config(self, config: dict[str, Any]) -> None:
        """Keeps the configuration."""
        write_text(self.config, yaml.safe_dump(config, sort_keys=False))

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Keeps the summary, which marks the run as finished."""
        write_text(self.summary, json.dumps(summary, indent=2) + "\n")


def _read(path: Path, parse: Callable[[str], Any]) -> Any:
    """Parses a file of a run folder, or says what is missing or broken."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(
            f"{path.parent} holds no {'finished ' if path.name == 'summary.json' else ''}run: {path.name} is "
            "missing; give the folder of a run, or continue an unfinished one with `studygroup train --resume`"
        ) from error
    except (json.JSONDecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read ({error}); {_AGAIN}") from error


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Holds a folder for this process, if it is free; the system lets go of it when the process ends."""
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
