"""Learning curves of configurations, averaged over seeds: accuracy at equal time and at equal updates."""

import bisect
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from reproduction.equal_cost import AS_LONG
from reproduction.results import Found
from reproduction.tables import Place, Table
from studygroup.analysis import convergence

Axis = Literal["spent", "updates"]


@dataclass(frozen=True)
class Curve:
    """The learning curve of a configuration, means over its seeds, one value an epoch.

    Attributes:
        accuracy: mean of the students on the hold-out rows, in percent.
        updates: made so far.
        spent: seconds of training so far, of the processor, or of the clock on a GPU; empty where they are not known,
            or of several clocks.
        n: seeds.
        clock: device whose seconds they are.
    """

    accuracy: Sequence[float]
    updates: Sequence[float]
    spent: Sequence[float]
    n: int
    clock: str | None


def mean_curve(found: Found) -> Curve | None:
    """Return the curve of a configuration; None where its runs have none."""
    curves = [run["curve"] for run in found.runs.values() if run.get("curve")]
    if not curves:
        return None
    columns = {
        name: [
            statistics.fmean(values)
            for values in zip(*(curve.get(name, ()) for curve in curves), strict=False)
        ]
        for name in ("holdout", "updates", "spent")
    }
    spent = columns["spent"] if found.clock is not None else []
    accuracy = [100 * share for share in columns["holdout"]]
    return Curve(accuracy, columns["updates"], spent, len(curves), found.clock)


def of_one_clock(curves: Mapping[str, Curve]) -> bool:
    """Return whether all seconds that curves have are of one kind of device, and may be compared."""
    return len({some.clock for some in curves.values() if some.spent}) < 2


def late_change(found: Found) -> float | None:
    """Return by how many points hold-out accuracy changed over the last fifth of the epochs, mean over seeds.

    None where no run has a curve of five epochs or more.
    """
    changes = [
        convergence.late_change(run["curve"]["holdout"]) for run in found.runs.values() if run.get("curve")
    ]
    known = [change for change in changes if change is not None]
    return statistics.fmean(known) if known else None


def comparable_cells(table: Table) -> dict[str, dict[str, Place]]:
    """Return cells to be compared with one another, by name: those of a row.

    In a table of one column, or whose columns are data sets, those of a column. Rows of plain networks that are
    trained for as long as others are left out: only their length differs.
    """
    rows = [row for row in table.rows if AS_LONG not in row]
    sets = [{table.cells[row, column].data for column in table.columns} - {None} for row in rows]
    if len(table.columns) == 1 or any(len(some) > 1 for some in sets):
        return {column: {row: (row, column) for row in rows} for column in table.columns}
    return {row: {column: (row, column) for column in table.columns} for row in rows}


def value_at(places: Sequence[float], values: Sequence[float], place: float) -> float:
    """Return the value of the last epoch that ended at a place or before it, of rising ones; or else of the first."""
    return values[max(bisect.bisect_right(places, place) - 1, 0)]


def at_equal(curves: Mapping[str, Curve], axis: Axis) -> tuple[float, dict[str, float]]:
    """Return what each configuration has reached when the first of them is through, of those that have the axis.

    The others are then in the middle of their schedules, with learning rates that are still high: it shows what a
    budget buys in the runs that were made, not what a schedule made for that budget would.

    Returns:
        The smallest of the totals, and accuracies by name; none of fewer than two, or of unequal clocks.
    """
    curves = {name: some for name, some in curves.items() if getattr(some, axis)}
    if len(curves) < 2 or (axis == "spent" and not of_one_clock(curves)):
        return 0.0, {}
    totals = min(getattr(some, axis)[-1] for some in curves.values())
    return totals, {
        name: value_at(getattr(some, axis), some.accuracy, totals) for name, some in curves.items()
    }
