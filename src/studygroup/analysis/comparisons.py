"""Two comparisons of the same configurations: does what is good on one data set also do well on the other?"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from studygroup.analysis.transfer import ranks, remarks
from studygroup.training.compare import cells, read_rows

FEWEST = 3
"""Configurations below which an order says nothing."""


@dataclass(frozen=True)
class Transfer:
    """Scores of the same configurations on two data sets.

    Attributes:
        scores: test accuracies of the shipped students in percent, one per seed, by data set and configuration; the
            data sets go by their folders' names.
    """

    scores: Mapping[str, Mapping[str, Sequence[float]]]

    @property
    def table(self) -> list[tuple[str, ...]]:
        """One row of text per configuration: mean ± sample deviation (seeds), and rank, on each set."""
        head = [word for name in self.scores for word in (name, "rank")]
        columns: list[list[str]] = []
        for scores in self.scores.values():
            columns.append([_said(some) for some in scores.values()])
            columns.append([str(rank) for rank in ranks([*scores.values()])])
        names = [*next(iter(self.scores.values()))]
        return [("", *head), *zip(names, *columns, strict=True)]

    @property
    def remarks(self) -> list[str]:
        """The conclusions, in sentences; see `transfer.remarks`."""
        return remarks(self.scores)


def transfer(first: Path, second: Path) -> Transfer:
    """Read two comparisons of equally named configurations, such as route tables on two data sets (CGL, Table 7).

    Example:
        >>> transfer(Path("runs/cifar10"), Path("runs/cifar100")).remarks[-1]

    Args:
        first: folder of `studygroup compare` on the data set on which configurations are chosen.
        second: folder of the comparison on the data set on which they are to be used.

    Raises:
        ValueError: the same folder twice, a folder without a comparison or with an unfinished run, or fewer than
            `FEWEST` configurations in both.
    """
    if first.resolve() == second.resolve():
        raise ValueError(f"{first} is given twice; give comparisons on two data sets")
    found = {folder: cells(folder, read_rows(folder)) for folder in (first, second)}
    shared = [name for name in found[first] if name in found[second]]
    if len(shared) < FEWEST:
        raise ValueError(
            f"{first} and {second} share {len(shared)} configurations ({', '.join(shared) or 'none'}); an order "
            f"takes {FEWEST}, with files of the same names in both calls of `studygroup compare`"
        )
    names = [first.name, second.name] if first.name != second.name else [str(first), str(second)]
    return Transfer(
        {
            name: {one: [100 * run.read_summary()["shipped"]["test"] for run in runs[one]] for one in shared}
            for name, runs in zip(names, found.values(), strict=True)
        }
    )


def _said(scores: Sequence[float]) -> str:
    """Return mean ± sample deviation (seeds) as text."""
    spread = f" ± {statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
    return f"{statistics.fmean(scores):.2f}{spread} ({len(scores)})"
