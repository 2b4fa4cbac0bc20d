"""The horizontal axes of a page's curves: epochs, updates, or seconds of training."""

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

from studygroup.report.drawing import Plot
from studygroup.training.history import EpochRow

Rows = Sequence[EpochRow]


class Axis(NamedTuple):
    """A horizontal axis.

    Attributes:
        name: what the switch of the page calls it.
        label: what stands below a plot.
        words: what a plot's text alternative says.
        at: returns the place of each row of a history.
    """

    name: str
    label: str
    words: str
    at: Callable[[Rows], list[float]]


class View(NamedTuple):
    """Plots over one axis.

    Attributes:
        name: that of the axis.
        plots: the plots.
    """

    name: str
    plots: Sequence[Plot]


EPOCHS = Axis("epochs", "epoch", "epochs", lambda rows: [float(row.epoch) for row in rows])
_UPDATES = Axis(
    "updates", "updates of a student", "updates", lambda rows: [float(row.updates) for row in rows]
)
_SECONDS = Axis(
    "seconds",
    "seconds of training",
    "seconds of training",
    lambda rows: list(accumulate(row.seconds for row in rows)),
)


def over_each(histories: Sequence[Rows], plots: Callable[[Axis], Sequence[Plot]]) -> list[View]:
    """Return plots over epochs and over every other axis that was recorded; none where there is nothing to plot."""
    some = [rows for rows in histories if rows]
    further = [axis for axis in (_UPDATES, _SECONDS) if all(_recorded(axis.at(rows)) for rows in some)]
    views = [View(axis.name, plots(axis)) for axis in (EPOCHS, *(further if some else []))]
    return [view for view in views if view.plots]


def _recorded(places: Sequence[float]) -> bool:
    """Return whether places are numbers that rise."""
    return all(map(math.isfinite, places)) and all(
        before < after for before, after in zip([0.0, *places], places, strict=False)
    )
