"""Runs that ended without figures, as their loss was no number any more: a file beside the results."""

from collections.abc import Mapping
from pathlib import Path

from studygroup.papers.results import add_entry, entries

_FILE = "stopped.json"


def known(folder: Path) -> Mapping[str, str]:
    """What was said of each run, by `KEY-SEED`: a run is repeatable, and would end so again.

    Args:
        folder: of the results; a missing one has none.

    Raises:
        ValueError: the file is damaged.
    """
    return entries(folder / _FILE)


def add(folder: Path, key: str, seed: int, words: str) -> None:
    """Writes down that a run ended so.

    Args:
        folder: of the results.
        key: of the configuration.
        seed: of the run.
        words: of the error.
    """
    add_entry(folder / _FILE, f"{key}-{seed}", words)
