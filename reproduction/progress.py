"""How far configurations were at a time or after so many updates: curves of the runs, averaged over seeds."""

import bisect
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from reproduction.results import Found
from reproduction.tables import Place, Table
from studygroup.analysis import convergence

Axis = Literal["spent", "updates"]


@dataclass(frozen=True)
class Line:
    """A configuration's way, means over its seeds, one value an epoch.

    Attributes:
        accuracy: mean of the students on the hold-out rows, in percent.
        updates: made so far.
        spent: seconds of training so far, of the processor, or of the clock on a GPU; empty where they are not known.
        n: seeds.
    """

    accuracy: Sequence[float]
    updates: Sequence[float]
    spent: Sequence[float]
    n: int


def line(found: Found) -> Line | None:
    """The curve of a configuration; None where its runs have none.

    Args:
        found: its finished runs.
    """
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
    return Line(
        [100 * share for share in columns["holdout"]], columns["updates"], columns["spent"], len(curves)
    )


def late_change(found: Found) -> float | None:
    """By how many points the hold-out accuracy changed over the last fifth of the epochs, mean over seeds.

    Args:
        found: finished runs of a configuration.

    Returns:
        None where no run has a curve of five epochs or more.
    """
    changes = [
        convergence.late_change(run["curve"]["holdout"]) for run in found.runs.values() if run.get("curve")
    ]
    known = [change for change in changes if change is not None]
    return statistics.fmean(known) if known else None


def beside(table: Table) -> dict[str, dict[str, Place]]:
    """Cells to be held beside one another, by name: those of a row, or, in a table of one column, all.

    Args:
        table: any.
    """
    if len(table.columns) == 1:
        return {column: {row: (row, column) for row in table.rows} for column in table.columns}
    return {row: {column: (row, column) for column in table.columns} for row in table.rows}


def at(places: Sequence[float], values: Sequence[float], place: float) -> float:
    """The value of the last epoch that ended at a place or before it; the first epoch's, if none did.

    Args:
        places: rising, such as updates so far.
        values: as many.
        place: on the same scale.
    """
    return values[max(bisect.bisect_right(places, place) - 1, 0)]


def at_equal(lines: Mapping[str, Line], axis: Axis) -> tuple[float, dict[str, float]]:
    """What each configuration has reached when the first of them is through; those without the axis are left out.

    The others are then in the middle of their schedules, with learning rates that are still high: it tells what a
    budget buys in the runs that were made, not what a schedule made for that budget would.

    Args:
        lines: by name.
        axis: what is equal.

    Returns:
        The smallest of the totals, and accuracies by name; of fewer than two there are none.
    """
    lines = {name: some for name, some in lines.items() if getattr(some, axis)}
    if len(lines) < 2:
        return 0.0, {}
    totals = min(getattr(some, axis)[-1] for some in lines.values())
    return totals, {name: at(getattr(some, axis), some.accuracy, totals) for name, some in lines.items()}
