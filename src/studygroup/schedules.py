"""Weights that change during training, as functions of progress in [0, 1]."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from studygroup import bibliography
from studygroup.checks import check_number, check_share

Schedule = Callable[[float], float]


def ramp_up(start: float, end: float) -> Schedule:
    """Return the ramp-up coefficient φ(t) of Laine & Aila as CGL prints it (equation 7).

    φ(t) = exp(−5 (1−λ)²) for t in [start, end], where λ rises linearly from 0 to 1, and 1 outside: also
    *before* `start`, as printed. An empty interval (`start == end`) is constantly 1.

    Args:
        start: beginning of the ramp as a share of training, in [0, 1].
        end: its end, in [start, 1].

    Returns:
        A function of progress in [0, 1], with values in [exp(−5), 1].

    Raises:
        ValueError: the interval lies outside [0, 1] or runs backwards.
    """
    if check_share("start", start, of="training") > check_share("end", end, of="training"):
        raise ValueError(f"ramp from {start} to {end}; use 0 <= start <= end <= 1, as shares of training")

    return _RampUp(start, end)


def constant(value: float) -> Schedule:
    """Return a schedule of constant weight.

    Raises:
        ValueError: the value is no finite number.
    """
    return partial(_same, check_number("value", value))


@dataclass(frozen=True)
class _RampUp:
    start: float
    end: float
    sources: ClassVar[tuple[str, ...]] = (bibliography.TEMPORAL_ENSEMBLING,)

    def __call__(self, progress: float) -> float:
        if self.start == self.end or not self.start <= progress <= self.end:
            return 1.0
        return math.exp(-5 * (1 - (progress - self.start) / (self.end - self.start)) ** 2)


def _same(value: float, progress: float) -> float:
    return value
