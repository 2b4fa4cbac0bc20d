"""The section of a table in the report: numbers side by side with marks, claims, plots and costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from reproduction.report.costs import Costs, costs
from reproduction.report.plots import plots
from reproduction.tables import Cell
from reproduction.verdicts import Judged, Verdict, claim_cells, comparison_lines
from reproduction.view import View, baseline_of, mean_and_deviation, published
from studygroup.analysis.intervals import FEWEST
from studygroup.report.drawing import Plot
from studygroup.report.marks import WORDS, Mark, compared


class Ours(NamedTuple):
    """A number of ours.

    Attributes:
        mean: as printed; empty where there is none.
        std: sample deviation, empty for one seed.
        n: number of seeds; 0 if the number is counted without training.
        mark: compared with the baseline.
        words: meaning of the mark.
    """

    mean: str = ""
    std: str = ""
    n: int = 0
    mark: str = ""
    words: str = ""


class Row(NamedTuple):
    """A row in the paper's layout."""

    label: str
    published: Sequence[str]
    ours: Sequence[Ours]


@dataclass(frozen=True)
class Section(View):
    """A table as the report has it."""

    @cached_property
    def rows(self) -> list[Row]:
        """The numbers, published and ours."""
        return [
            Row(
                row,
                [published(cell) for cell in self.row(row)],
                [self._marked_number(cell) for cell in self.row(row)],
            )
            for row in self.table.rows
        ]

    @property
    def marked(self) -> bool:
        """Whether the table has any mark."""
        return any(ours.mark for row in self.rows for ours in row.ours)

    @property
    def said(self) -> str:
        """How to read the numbers."""
        ours = "mean ± sample deviation over seeds (number of seeds)"
        ours = ours if self.trained else "counted, nothing is trained"
        if not self.values:
            return "Published."
        if self.printed:
            return f"Published, and below it ours: {ours}."
        return f"Ours: {ours}. No numbers are published."

    @property
    def seeds(self) -> str:
        """Fewest and most seeds of the cells that have runs."""
        counts = sorted({len(numbers) for numbers in self.trained.values()})
        return "" if not counts else f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"

    @property
    def enough(self) -> int:
        """Number of cells with as many seeds as a claim needs."""
        return sum(len(numbers) >= FEWEST for numbers in self.trained.values())

    @property
    def verdicts(self) -> Sequence[tuple[str, int]]:
        """Number of claims by verdict; those not tested last."""
        counts = ((verdict.value, sum(one.verdict is verdict for one in self.claims)) for verdict in Verdict)
        return [(words, count) for words, count in counts if count]

    @property
    def claim_rows(self) -> list[tuple[str, str, str, str, Sequence[str]]]:
        """For each tested claim: sentence, published numbers, ours, verdict, and its comparisons if several."""
        return [_claim_row(one) for one in self.tested]

    @property
    def untested_rows(self) -> list[tuple[str, str, str, str, Sequence[str]]]:
        """The same for claims that are not tested."""
        return [_claim_row(one) for one in self.untested]

    @cached_property
    def plots(self) -> list[Plot]:
        """Plots of the numbers."""
        return plots(self.table, self.values)

    @cached_property
    def costs(self) -> Costs:
        """Costs of training."""
        return costs(self)

    def mark(self, cell: Cell) -> Mark:
        """Return whether a number is better or worse than the baseline's; no mark below `FEWEST` seeds."""
        plain = baseline_of(self.table, cell)
        if plain is None:
            return Mark.NONE
        own, others = (self.values.get(place, ()) for place in (cell.place, plain.place))
        return compared(own, others, sign=cell.measure.sign)

    def _marked_number(self, cell: Cell) -> Ours:
        numbers = self.values.get(cell.place, ())
        if not numbers:
            return Ours()
        found, plain = self.mark(cell), baseline_of(self.table, cell)
        words = f"{WORDS[found]} ({plain.label})" if plain is not None and found is not Mark.NONE else ""
        return Ours(
            *mean_and_deviation(cell, numbers), len(numbers) if cell.trained else 0, found.value, words
        )


def _claim_row(one: Judged) -> tuple[str, str, str, str, Sequence[str]]:
    return (*claim_cells(one), one.verdict.name.lower(), comparison_lines(one))
