"""Tables and figures of a paper: cells with published numbers and the settings of a run, and claims."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from studygroup.inputs import Inputs
from studygroup.task import CollaborativeLearning
from studygroup.training.config import Config

Place = tuple[str, str]
"""Labels of a cell's row and column."""
Figures = Mapping[str, Any]
"""The figures of a run, see `reproduction.runner.figures`."""


@dataclass(frozen=True)
class Measure:
    """The meaning of a table's numbers.

    Attributes:
        name: in the tables' files.
        unit: as printed after the name.
        digits: after the decimal point.
        sign: 1 if more is better, -1 if less is.
        of: the number of a run in this unit, or None where its figures lack it; None where no run of a cell gives it.
        analysis: one of `studygroup.analysis.analyses` whose result a run's figures have to have, under that name.
        counted: the number of a task and a batch, both shapes alone, where nothing has to be trained to know it.
    """

    name: str
    unit: str
    digits: int
    sign: int
    of: Callable[[Figures], float | None] | None = None
    analysis: str | None = None
    counted: Callable[[CollaborativeLearning, Inputs], float] | None = None


@dataclass(frozen=True)
class Number:
    """A published number.

    Attributes:
        mean: as printed.
        std: as printed, None where none is.
        mark: refers to one of the table's marks, such as `?` for a suspect print.
    """

    mean: float
    std: float | None = None
    mark: str = ""


@dataclass(frozen=True)
class DataSet:
    """A data set of the papers.

    Attributes:
        name: in the papers.
        short: in `--data SHORT=FOLDER`.
        place: where a run takes it from unless told otherwise; None where a folder has to be named.
        rows: published training rows.
        holdout: how many of them are held out.
        classes: number of classes.
    """

    name: str
    short: str
    place: str | None
    rows: int
    holdout: int
    classes: int


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        place: labels of row and column.
        measure: meaning of its number.
        published: the number in print, if there is one.
        settings: those of `studygroup.training.Settings` that the paper's scale names, without the data; None where
            nothing is trained for the cell.
        data: what it is trained on, with `settings`.
        regime: arguments of `Scale.changed`, such as rows and epochs: its own, whatever the scale's are.
    """

    place: Place
    measure: Measure
    published: Number | None
    settings: Config | None
    data: DataSet | None
    regime: Mapping[str, int] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Row and column in one."""
        return " | ".join(self.place)

    @property
    def trained(self) -> bool:
        """Whether runs are trained for its number."""
        return self.settings is not None and self.measure.counted is None


@dataclass(frozen=True)
class Contrast:
    """A comparison that a claim makes: Σ weight × mean, in the better direction, is above 0.

    Attributes:
        weights: of the cells; they add up to 0.
        said: the sum as the paper's text has it, if it does.
        equal: the claim is that the sum is 0, of numbers that are counted.
    """

    weights: tuple[tuple[Place, float], ...]
    said: float | None = None
    equal: bool = False

    @property
    def places(self) -> tuple[Place, ...]:
        """The cells compared."""
        return tuple(place for place, _ in self.weights)


@dataclass(frozen=True)
class Claim:
    """A sentence in which a paper draws a conclusion.

    Attributes:
        says: the conclusion.
        contrasts: comparisons which must all hold; none where no cell can test it.
        note: how it is read, or what in print disagrees.
    """

    says: str
    contrasts: tuple[Contrast, ...]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table, figure or set of numbers of a paper.

    Attributes:
        id: on the command line.
        paper: its name.
        title: number and subject.
        rows: labels of the rows, in the printed order.
        columns: labels of the columns.
        cells: all cells, row by row.
        claims: what the paper concludes.
        marks: what the marks of published numbers mean.
        note: further remarks.
        ranks: rows that hold the ranks of other rows' numbers, with those.
    """

    id: str
    paper: str
    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[Place, Cell]
    claims: tuple[Claim, ...]
    marks: Mapping[str, str]
    note: str
    ranks: Mapping[str, str] = field(default_factory=dict)

    @property
    def runnable(self) -> tuple[Cell, ...]:
        """The cells that something is trained for."""
        return tuple(cell for cell in self.cells.values() if cell.trained)

    @property
    def untrained(self) -> str:
        """The origin of its numbers if nothing is trained for it."""
        if any(cell.measure.counted for cell in self.cells.values()):
            return "counted"
        made = any(cell.measure.of for cell in self.cells.values())
        return "made of other runs" if made else "published only"

    @property
    def units(self) -> str:
        """The measures, with units."""
        return ", ".join(dict.fromkeys(f"{c.measure.name} ({c.measure.unit})" for c in self.cells.values()))
