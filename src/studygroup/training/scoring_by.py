"""By which score on the hold-out rows the student that ships is chosen: accuracy, or a metric of one's own."""

import math
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from studygroup.naming import did_you_mean

Mode = Literal["max", "min"]


@dataclass(frozen=True)
class ScoringBy:
    """The score that decides.

    Attributes:
        metric: name of the metric; None is accuracy.
        mode: whether the largest or the smallest value is best.
    """

    metric: str | None = None
    mode: Mode = "max"

    def scores(self, values: Sequence[float]) -> tuple[float, ...]:
        """Return what the students are ranked by, more is better; a value that is not a number is the worst."""
        if all(map(math.isnan, values)):
            warnings.warn(
                f"{self.metric} is not a number for any student on the hold-out rows, so that the first is taken; "
                "hold out more rows, or choose by another metric",
                stacklevel=2,
            )
        sign = 1 if self.mode == "max" else -1
        return tuple(-math.inf if math.isnan(value) else sign * value for value in values)


def check_choice(metric: str | None, mode: Mode | None, metrics: Collection[str]) -> None:
    """Refuse a choice by what is no metric of the run, and metrics whose names no column or option can have.

    Raises:
        ValueError: a metric's name is no identifier, there is no such metric, or a mode and no metric.
    """
    wrong = [name for name in metrics if not name.isidentifier()]
    if wrong:
        raise ValueError(f"a metric is called {wrong[0]!r}; give a name of letters, digits and underscores")
    if metric is not None and metric not in metrics:
        there = f"there are {', '.join(sorted(metrics))}" if metrics else "there is none"
        raise ValueError(
            f"select_by is {metric!r}, which is no metric of this run{did_you_mean(metric, metrics)}; {there}: give "
            f"it by its name, as --metrics.{metric} torchmetrics.F1Score"
        )
    if metric is None and mode is not None:
        raise ValueError(
            f"select_mode is {mode!r} and accuracy decides, of which more is better; give select_by, too, or leave "
            "it out"
        )


def scoring_by(metric: str | None, mode: Mode | None, *, higher_is_better: bool | None) -> ScoringBy:
    """Return the score that decides; where no mode is given, the metric says which values are better.

    Raises:
        ValueError: neither the user nor the metric says which values are better.
    """
    if metric is None:
        return ScoringBy()
    if mode is None and higher_is_better is None:
        raise ValueError(
            f"select_by is {metric!r}, and this metric does not say which values are better; give --select_mode max "
            "or min"
        )
    return ScoringBy(metric, mode or ("max" if higher_is_better else "min"))
