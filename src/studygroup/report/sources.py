"""The folders that a report is made of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from studygroup.training.folder import RunFolder
from studygroup.untrusted import check_tree


@dataclass(frozen=True)
class Folders:
    """Folders sorted by what they hold.

    Attributes:
        comparisons: folders of `studygroup compare`.
        runs: folders of finished runs.
        others: all other folders.
    """

    comparisons: Sequence[Path] = ()
    runs: Sequence[RunFolder] = ()
    others: Sequence[Path] = ()

    @property
    def one_run(self) -> bool:
        """Whether there is one run and nothing else."""
        return len(self.runs) == 1 and not self.comparisons and not self.others


def sort_folders(folders: Iterable[str]) -> Folders:
    """Sort folders by what they hold."""
    comparisons, runs, others = [], [], []
    for path in map(Path, folders):
        check_tree(path)
        if (path / "comparison.json").exists():
            comparisons.append(path)
        elif (path / "summary.json").exists():
            runs.append(RunFolder(path))
        else:
            others.append(path)
    return Folders(comparisons, runs, others)
