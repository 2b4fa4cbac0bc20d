"""Marks of numbers that differ from a baseline by more than seeds do."""

import enum
from collections.abc import Mapping, Sequence

from studygroup.analysis.intervals import FEWEST, welch


class Mark(enum.Enum):
    """A mark beside a number; the value is the sign in print."""

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


def compared(own: Sequence[float], plain: Sequence[float], *, sign: int = 1) -> Mark:
    """Return whether a sample is better or worse than another.

    Args:
        own: one number per seed.
        plain: the baseline's numbers.
        sign: 1 where more is better, -1 where less is.
    """
    if min(len(own), len(plain)) < FEWEST:
        return Mark.NONE
    _, low, high, _ = welch([own, plain], [sign, -sign])
    if low <= 0 <= high:
        return Mark.OPEN
    return Mark.BETTER if low > 0 else Mark.WORSE
