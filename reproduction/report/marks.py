"""Which numbers of a table differ from its baseline by more than seeds do."""

from collections.abc import Mapping, Sequence

from reproduction.tables import Cell, Place, Table
from studygroup.report.marks import Mark, compared


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


def _plain(cell: Cell) -> bool:
    """Whether a cell is the plain network as it stands: a wider one, or one with fewer rows, is held against it."""
    return (
        not {"baseline", "plain"}.isdisjoint(cell.place) and (cell.settings or {}).get("recipe") == "baseline"
    )
