"""Runs that ended without figures, as their loss was no number any more: a file beside the results."""

from collections.abc import Mapping
from pathlib import Path

from reproduction.results import add_entry, entries

_FILE = "stopped.json"


def known(folder: Path) -> Mapping[str, str]:
    """What was said of each run, by its name: a run is repeatable, and would end so again.

    Args:
        folder: of the results; a missing one has none.

    Raises:
        ValueError: the file is damaged.
    """
    return entries(folder / _FILE)


def add(folder: Path, run: str, words: str) -> None:
    """Writes down that a run ended so.

    Args:
        folder: of the results.
        run: its name.
        words: of the error.
    """
    add_entry(folder / _FILE, run, words)
