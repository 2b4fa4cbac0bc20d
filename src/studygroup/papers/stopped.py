"""Runs that ended without figures, as their loss was no number any more: a file beside the results."""

import json
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from studygroup.files import write_text
from studygroup.papers.results import read

_FILE = "stopped.json"


def known(folder: Path) -> Mapping[str, str]:
    """What was said of each run, by `KEY-SEED`: a run is repeatable, and would end so again.

    Args:
        folder: of the results; a missing one has none.

    Raises:
        ValueError: the file is damaged.
    """
    path = folder / _FILE
    return read(path) if path.exists() else {}


def add(folder: Path, key: str, seed: int, words: str) -> None:
    """Writes down that a run ended so.

    Args:
        folder: of the results.
        key: of the configuration.
        seed: of the run.
        words: of the error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".stopped.lock"):
        write_text(folder / _FILE, json.dumps({**known(folder), f"{key}-{seed}": words}, indent=1) + "\n")
