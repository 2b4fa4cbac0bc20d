"""The folders that a report is made of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from studygroup.training.folder import RunFolder


@dataclass(frozen=True)
class Folders:
    """Folders by what lies in them.

    Attributes:
        comparisons: folders of `studygroup compare`.
        runs: folders of finished runs.
        others: the rest.
    """

    comparisons: Sequence[Path] = ()
    runs: Sequence[RunFolder] = ()
    others: Sequence[Path] = ()


def sort_folders(folders: Iterable[str]) -> Folders:
    """Sort folders by what lies in them."""
    comparisons, runs, others = [], [], []
    for path in map(Path, folders):
        if (path / "comparison.json").exists():
            comparisons.append(path)
        elif (path / "summary.json").exists():
            runs.append(RunFolder(path))
        else:
            others.append(path)
    return Folders(comparisons, runs, others)
