"""How far configurations were at a time or after so many updates: curves of the runs, averaged over seeds."""

import bisect
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from studygroup.papers.results import Found

Axis = Literal["seconds", "updates"]


@dataclass(frozen=True)
class Line:
    """A configuration's way, means over its seeds, one value an epoch.

    Attributes:
        accuracy: mean of the students on the hold-out rows, in percent.
        updates: made so far.
        seconds: of training so far.
    """

    accuracy: Sequence[float]
    updates: Sequence[float]
    seconds: Sequence[float]


def line(found: Found) -> Line | None:
    """The curve of a configuration; None where its runs have none.

    Args:
        found: its finished runs.
    """
    curves = [run["curve"] for run in found.runs.values() if run.get("curve")]
    if not curves:
        return None
    columns = {
        name: [statistics.fmean(values) for values in zip(*(curve[name] for curve in curves), strict=False)]
        for name in ("holdout", "updates", "seconds")
    }
    return Line([100 * share for share in columns["holdout"]], columns["updates"], columns["seconds"])


def at(places: Sequence[float], values: Sequence[float], place: float) -> float:
    """The value of the last epoch that ended at a place or before it; the first epoch's, if none did.

    Args:
        places: rising, such as updates so far.
        values: as many.
        place: on the same scale.
    """
    return values[max(bisect.bisect_right(places, place) - 1, 0)]


def at_equal(lines: Mapping[str, Line], axis: Axis) -> tuple[float, dict[str, float]]:
    """What each configuration has reached when the first of them is through.

    The others are then in the middle of their schedules, with learning rates that are still high: it tells what a
    budget buys in the runs that were made, not what a schedule made for that budget would.

    Args:
        lines: by name, at least one.
        axis: what is equal.

    Returns:
        The smallest of the totals, and accuracies by name.
    """
    totals = min(getattr(some, axis)[-1] for some in lines.values())
    return totals, {name: at(getattr(some, axis), some.accuracy, totals) for name, some in lines.items()}
