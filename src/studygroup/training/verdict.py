"""Whether one run's shipped student or the plain network beside it is ahead, and how much one run can show."""

import enum
import math
from typing import NamedTuple

from studygroup.training.summary import Summary


class Outcome(enum.Enum):
    """How the shipped student stands beside the plain network; the value is said in print."""

    AHEAD = "Ahead of the plain network by more than chance explains"
    BEHIND = "Behind the plain network by more than chance explains"
    OPEN = "Not told apart from the plain network"


class Verdict(NamedTuple):
    """The comparison of a run with the plain network trained beside it.

    Attributes:
        outcome: which of them is ahead.
        words: the numbers and what they can show, in two sentences.
    """

    outcome: Outcome
    words: str


def baseline_verdict(summary: Summary) -> Verdict | None:
    """Tell whether the shipped student or the plain network is ahead, and how much one run can show.

    Chance: where two equally good networks err independently of each other, the number of test rows by which one
    is ahead has the standard deviation √(N (p₁ (1 − p₁) + p₂ (1 − p₂))); 1.96 times that is stated. Networks that err
    on the same rows differ by less.

    Returns:
        The verdict; None where no plain network was trained beside the method.
    """
    if summary.baseline is None:
        return None
    own, plain = summary.shipped.test, summary.baseline.test
    rows = summary.test.rows
    ahead = round((own - plain) * rows)
    chance = round(1.96 * math.sqrt(rows * (own * (1 - own) + plain * (1 - plain))))
    outcome = Outcome.OPEN
    if abs(ahead) > chance:
        outcome = Outcome.AHEAD if ahead > 0 else Outcome.BEHIND
    more = (
        f"{abs(ahead)} test rows {'more' if ahead > 0 else 'fewer'} than" if ahead else "as many test rows as"
    )
    told = "no more than that" if outcome is Outcome.OPEN else "more than that"
    words = (
        f"The shipped student is right on {more} the plain network trained beside it, of {rows} ({own:.2%} against "
        f"{plain:.2%}). By chance alone one of two equally good networks may be ahead by about {chance} of these "
        f"rows; this run shows {told}, and another seed may end otherwise."
    )
    return Verdict(outcome, words)
