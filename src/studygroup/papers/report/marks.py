"""Which of our numbers differ from the table's baseline by more than the seeds do."""

import enum
from collections.abc import Mapping, Sequence

from studygroup.papers.tables import Cell, Place, Table
from studygroup.papers.verdicts import FEWEST, welch


class Mark(enum.Enum):
    """What stands beside a number; the value is the sign in print."""

    NONE = ""
    BETTER = "▲"
    WORSE = "▼"
    OPEN = "≈"


WORDS: Mapping[Mark, str] = {
    Mark.NONE: "",
    Mark.BETTER: "better than the baseline",
    Mark.WORSE: "worse than the baseline",
    Mark.OPEN: "not told apart from the baseline",
}


def baseline_of(table: Table, cell: Cell) -> Cell | None:
    """The plain network that a cell is held against: in its row, else in its column, measured alike.

    Args:
        table: of the cell.
        cell: any; a baseline has none.
    """
    if _plain(cell):
        return None
    row, column = cell.place
    beside = [table.cells[row, other] for other in table.columns]
    above = [table.cells[other, column] for other in table.rows]
    fits = (other for other in (*beside, *above) if _plain(other) and other.measure == cell.measure)
    return next(fits, None)


def mark(table: Table, cell: Cell, values: Mapping[Place, Sequence[float]]) -> Mark:
    """Whether a number is better or worse than the baseline's, by a Welch interval; no mark below `FEWEST` seeds.

    Args:
        table: of the cell.
        cell: any.
        values: one number a seed of each cell that has runs.
    """
    plain = baseline_of(table, cell)
    if plain is None:
        return Mark.NONE
    return compared(values.get(cell.place, ()), values.get(plain.place, ()), sign=cell.measure.sign)


def compared(own: Sequence[float], plain: Sequence[float], *, sign: int = 1) -> Mark:
    """Whether a sample is better or worse than another.

    Args:
        own: one number a seed.
        plain: the baseline's.
        sign: 1 where more is better, -1 where less is.
    """
    if min(len(own), len(plain)) < FEWEST:
        return Mark.NONE
    _, low, high, _ = welch([own, plain], [sign, -sign])
    if low <= 0 <= high:
        return Mark.OPEN
    return Mark.BETTER if low > 0 else Mark.WORSE


def _plain(cell: Cell) -> bool:
    """Whether a cell is the plain network as it stands: a wider one, or one with fewer rows, is held against it."""
    return (
        not {"baseline", "plain"}.isdisjoint(cell.place) and (cell.settings or {}).get("recipe") == "baseline"
    )
