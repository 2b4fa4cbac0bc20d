"""What the page says of each table: numbers side by side, marks, claims, remarks; plain values for the template."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reproduction import show
from reproduction.conclusions import cells_of, each_of
from reproduction.report.costs import Costs, costs
from reproduction.report.marks import baseline_of, mark
from reproduction.report.plots import plots
from reproduction.report.sources import Sources
from reproduction.results import Found
from reproduction.tables import Cell, Place, Table
from reproduction.verdicts import Judged, Verdict, judged
from studygroup.analysis.intervals import FEWEST
from studygroup.report.drawing import Plot
from studygroup.report.marks import WORDS, Mark


@dataclass(frozen=True)
class Ours:
    """A number of ours.

    Attributes:
        mean: as printed; empty where there is none.
        std: sample deviation, empty for one seed.
        n: how many seeds; 0 where the number is counted and not trained for.
        mark: against the baseline.
        words: what the mark means.
    """

    mean: str = ""
    std: str = ""
    n: int = 0
    mark: str = ""
    words: str = ""


@dataclass(frozen=True)
class Row:
    """A row in the paper's layout.

    Attributes:
        label: of the row.
        unit: of its numbers.
        published: as in print.
        ours: beside them.
    """

    label: str
    unit: str
    published: Sequence[str]
    ours: Sequence[Ours]


@dataclass(frozen=True)
class Section:
    """A table or figure of the page.

    Attributes:
        table: as it is.
        rows: its numbers.
        printed: whether any number is published.
        values: one number a seed of each cell that has runs.
        claims: the sentence, published numbers, ours, the verdict, and what came of each of several comparisons.
        judged: the claims as they came out.
        remarks: what is to be known.
        plots: of our numbers.
        costs: of training.
    """

    table: Table
    rows: Sequence[Row]
    printed: bool
    values: Mapping[Place, Sequence[float]]
    claims: Sequence[tuple[str, str, str, str, Sequence[str]]]
    judged: Sequence[Judged]
    remarks: Sequence[str]
    plots: Sequence[Plot] = ()
    costs: Costs = field(default_factory=Costs)

    @property
    def marked(self) -> bool:
        """Whether any mark stands in the table."""
        return any(ours.mark for row in self.rows for ours in row.ours)

    @property
    def said(self) -> str:
        """How the numbers are to be read."""
        ours = (
            "mean ± sample deviation over seeds (number of seeds)"
            if self.trained
            else "counted, nothing is trained"
        )
        if not self.values:
            return "Published."
        return (
            f"Published, and below it ours: {ours}."
            if self.printed
            else f"Ours: {ours}. No numbers are published."
        )

    @property
    def trained(self) -> Mapping[Place, Sequence[float]]:
        """The numbers that come from runs of their own."""
        return {place: numbers for place, numbers in self.values.items() if self.table.cells[place].trained}

    @property
    def seeds(self) -> str:
        """Fewest and most seeds of the cells that have runs."""
        counts = sorted({len(numbers) for numbers in self.trained.values()})
        return "" if not counts else f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"

    @property
    def enough(self) -> int:
        """Cells with as many seeds as a claim needs."""
        return sum(len(numbers) >= FEWEST for numbers in self.trained.values())

    @property
    def verdicts(self) -> Sequence[tuple[str, int]]:
        """How many claims came out how; those not tested last."""
        counts = ((verdict.value, sum(one.verdict is verdict for one in self.judged)) for verdict in Verdict)
        return [(words, count) for words, count in counts if count]


def section(table: Table, sources: Sources) -> Section:
    """Everything that the page says of a table.

    Args:
        table: of the papers.
        sources: whose results are shown.
    """
    found = sources.found(table)
    values = {place: numbers for place, numbers in show.values(table, found).items() if numbers}
    claims = judged(table, values)
    return Section(
        table=table,
        rows=[_row(table, row, values) for row in table.rows],
        printed=any(cell.published for cell in table.cells.values()),
        values=values,
        claims=[(*cells_of(one), one.verdict.name.lower(), each_of(one)) for one in claims],
        judged=claims,
        remarks=_remarks(table, sources, found),
        plots=plots(table, values),
        costs=costs(table, found, values),
    )


def _row(table: Table, row: str, values: Mapping[Place, Sequence[float]]) -> Row:
    cells = [table.cells[row, column] for column in table.columns]
    unit = ", ".join(dict.fromkeys(f"{cell.measure.name} ({cell.measure.unit})" for cell in cells))
    return Row(
        row, unit, [_published(cell) for cell in cells], [_ours(table, cell, values) for cell in cells]
    )


def _published(cell: Cell) -> str:
    return "" if cell.published is None else show.published(cell)


def _ours(table: Table, cell: Cell, values: Mapping[Place, Sequence[float]]) -> Ours:
    numbers = values.get(cell.place, ())
    if not numbers:
        return Ours()
    digits, found = cell.measure.digits, mark(table, cell, values)
    std = f"{statistics.stdev(numbers):.{digits}f}" if len(numbers) > 1 else ""
    plain = baseline_of(table, cell)
    words = f"{WORDS[found]} ({plain.label})" if plain is not None and found is not Mark.NONE else ""
    count = len(numbers) if cell.trained else 0
    return Ours(f"{statistics.fmean(numbers):,.{digits}f}", std, count, found.value, words)


def _remarks(table: Table, sources: Sources, found: Mapping[Place, Found]) -> list[str]:
    """What `python -m reproduction show` says below the table."""
    return show.remarks(table, sources.whole, found)
