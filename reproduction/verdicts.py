"""Whether a claim holds, by results: differences of means over seeds with a Welch interval and its p-value."""

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reproduction.tables import Claim, Contrast, Place, Table
from studygroup.analysis.intervals import CONFIDENCE, FEWEST, welch


class Verdict(enum.Enum):
    """What results say of a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    OPEN = "not decided"
    UNTESTED = "not tested"


@dataclass(frozen=True)
class Compared:
    """A comparison by results, in the unit of the table and in the better direction.

    Attributes:
        verdict: of this comparison.
        difference: estimate; None where a cell has too few runs.
        low: lower end of its interval.
        high: upper end.
        p: two-sided p-value of no difference.
    """

    verdict: Verdict
    difference: float | None = None
    low: float = math.nan
    high: float = math.nan
    p: float = 1.0


@dataclass(frozen=True)
class Judged:
    """A claim with what was found of it.

    Attributes:
        claim: the sentence.
        compared: one for each of its contrasts.
        published: the differences of the published numbers, None where one is missing.
    """

    claim: Claim
    compared: tuple[Compared, ...]
    published: tuple[float | None, ...]

    @property
    def verdict(self) -> Verdict:
        """Of the claim as a whole: it holds if all comparisons hold, and none is left out.

        One that fails refutes it, whatever is left out. Of many, one fails by chance: it has to do so at a level that
        is divided by their number (Bonferroni, which for any failure at all is Holm's).
        """
        tested = [compared for compared in self.compared if compared.difference is not None]
        level = (1 - CONFIDENCE) / max(len(tested), 1)
        if any(compared.verdict is Verdict.FAILS and compared.p <= level for compared in tested):
            return Verdict.FAILS
        if len(tested) < len(self.compared) or not tested:
            return Verdict.UNTESTED
        holds = all(compared.verdict is Verdict.HOLDS for compared in tested)
        return Verdict.HOLDS if holds else Verdict.OPEN

    @property
    def in_print(self) -> tuple[int, int]:
        """How many comparisons have the claimed sign in the published numbers, and how many can be made there."""
        pairs = zip(self.claim.contrasts, self.published, strict=True)
        agree = [(some == 0) if one.equal else (some > 0) for one, some in pairs if some is not None]
        return sum(agree), len(agree)

    def count(self, verdict: Verdict) -> int:
        """How many comparisons came out so."""
        return sum(compared.verdict is verdict for compared in self.compared)


def counts(samples: Sequence[Sequence[float]], weights: Sequence[float]) -> tuple[float, float, float, float]:
    """Σ weight × number, of numbers that are counted and have no spread.

    Args:
        samples: one value each.
        weights: one a sample.

    Returns:
        The sum, three times, as `welch` has estimate and interval, and 0, or 1 where the sum is 0.
    """
    total = sum(weight * sample[0] for weight, sample in zip(weights, samples, strict=True))
    return total, total, total, float(total == 0)


def judged(table: Table, values: Mapping[Place, Sequence[float]]) -> tuple[Judged, ...]:
    """All claims of a table.

    Args:
        table: with its claims.
        values: one number a seed of each cell that has runs, in the table's unit.
    """
    return tuple(
        Judged(
            claim,
            tuple(_compared(table, contrast, values) for contrast in claim.contrasts),
            tuple(_published(table, contrast) for contrast in claim.contrasts),
        )
        for claim in table.claims
    )


def _compared(table: Table, contrast: Contrast, values: Mapping[Place, Sequence[float]]) -> Compared:
    samples = [values.get(place, ()) for place in contrast.places]
    counted = all(table.cells[place].measure.counted for place in contrast.places)
    if min(map(len, samples)) < (1 if counted else FEWEST):
        return Compared(Verdict.UNTESTED)
    estimate, low, high, p = (counts if counted else welch)(samples, _signed(table, contrast))
    if contrast.equal:
        return Compared(Verdict.FAILS if estimate else Verdict.HOLDS, estimate, low, high, p)
    verdict = Verdict.OPEN if low <= 0 <= high else Verdict.HOLDS if low > 0 else Verdict.FAILS
    return Compared(verdict, estimate, low, high, p)


def _published(table: Table, contrast: Contrast) -> float | None:
    numbers = [table.cells[place].published for place in contrast.places]
    means = [number.mean for number in numbers if number is not None]
    if len(means) < len(numbers):
        return None
    return sum(w * mean for w, mean in zip(_signed(table, contrast), means, strict=True))


def _signed(table: Table, contrast: Contrast) -> list[float]:
    """The weights, turned around where less is better."""
    return [weight * table.cells[place].measure.sign for place, weight in contrast.weights]
