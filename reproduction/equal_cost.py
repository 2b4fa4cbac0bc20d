"""Equal cost beside equal epochs: the plain network, trained for as long as each of a table's methods takes."""

import dataclasses
from collections.abc import Iterator, Mapping

from reproduction.tables import Cell, Claim, Contrast, Place, Table

AS_LONG = "plain for as long"
"""What a row of the plain network adds to the label of the row that it belongs to."""
_PLAIN = "baseline"


def with_equal_cost(table: Table, times: Mapping[str, int]) -> Table:
    """Return a table with a row of ours below each that is trained, and the claim that methods are better than it.

    In each column that row has the plain network, trained as in the row above, in so many times the epochs as the
    column's method takes the time of, with the schedule stretched. Methods that cost as much share its runs.

    Args:
        table: one with a column `baseline`.
        times: the time of a column's method over the plain network's, rounded up, by column; empty, the table stays.

    Raises:
        ValueError: a column that the table does not have.
    """
    for column in (*times, *([_PLAIN] if times else [])):
        if column not in table.columns:
            raise ValueError(
                f"{table.id}: as_long has {column!r}, which is none of the columns {', '.join(table.columns)}"
            )
    longer = {cell.place: cell for row in table.rows for cell in _longer(table, row, times)}
    if not longer:
        return table
    cells: dict[Place, Cell] = {**table.cells, **longer}
    rows = tuple(name for row in table.rows for name in (row, _below(row)) if (name, _PLAIN) in cells)
    return dataclasses.replace(
        table,
        rows=rows,
        cells={(row, column): cells[row, column] for row in rows for column in table.columns},
        claims=(*table.claims, _claim(longer)),
        note=" ".join([*([table.note] if table.note else []), _note(times)]),
    )


def _below(row: str) -> str:
    return f"{row}, {AS_LONG}"


def _longer(table: Table, row: str, times: Mapping[str, int]) -> Iterator[Cell]:
    """Yield the cells of the row below one, if that is trained."""
    plain = table.cells.get((row, _PLAIN))
    if not times or plain is None or not plain.trained:
        return
    for column in table.columns:
        place = (_below(row), column)
        if column in times:
            regime = {**plain.regime, "longer": times[column]}
            yield dataclasses.replace(plain, place=place, published=None, regime=regime)
        else:
            yield Cell(place, plain.measure, published=None, settings=None, data=None)


def _note(times: Mapping[str, int]) -> str:
    each = ", ".join(f"{column} {factor}" for column, factor in times.items())
    return (
        f"In rows of ours, {AS_LONG}, the plain network has as many times the epochs, with the schedule stretched, "
        f"as the column's method takes its time at scale small on a processor, rounded up: {each}."
    )


def _claim(longer: Mapping[Place, Cell]) -> Claim:
    above = {place: place[0].removesuffix(f", {AS_LONG}") for place, cell in longer.items() if cell.trained}
    contrasts = tuple(Contrast((((row, place[1]), 1.0), (place, -1.0))) for place, row in above.items())
    says = "Each method is better than the plain network that is trained for as long."
    return Claim(says, contrasts, "A question of ours: the paper compares at equal epochs.")
