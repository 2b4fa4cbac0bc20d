"""Claims judged by results, with Welch intervals of differences of means over seeds, and their verdicts in words."""

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reproduction.tables import Claim, Contrast, Place, Table
from studygroup.analysis.intervals import CONFIDENCE, FEWEST, welch


class Verdict(enum.Enum):
    """Verdict of results on a claim."""

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
    """A claim with its results.

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
        """Verdict of the claim as a whole: it holds if all comparisons hold, and none is left out.

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
        """Number of published comparisons with the claimed sign, and of all published ones."""
        pairs = zip(self.claim.contrasts, self.published, strict=True)
        agree = [(some == 0) if one.equal else (some > 0) for one, some in pairs if some is not None]
        return sum(agree), len(agree)

    def count(self, verdict: Verdict) -> int:
        """Return how many comparisons have this verdict."""
        return sum(compared.verdict is verdict for compared in self.compared)


def _exact(samples: Sequence[Sequence[float]], weights: Sequence[float]) -> tuple[float, float, float, float]:
    """Return Σ weight × number, of counted numbers without spread: three times, and p, as `welch` does."""
    total = sum(weight * sample[0] for weight, sample in zip(weights, samples, strict=True))
    return total, total, total, float(total == 0)


def judge(table: Table, values: Mapping[Place, Sequence[float]]) -> tuple[Judged, ...]:
    """Judge all claims of a table by one number per seed of each cell that has runs, in the table's unit."""
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
    estimate, low, high, p = (_exact if counted else welch)(samples, _signed(table, contrast))
    if contrast.equal:
        return Compared(Verdict.FAILS if estimate else Verdict.HOLDS, estimate, low, high, p)
    # a figure that is no number decides nothing
    verdict = Verdict.HOLDS if low > 0 else Verdict.FAILS if high < 0 else Verdict.OPEN
    return Compared(verdict, estimate, low, high, p)


def _published(table: Table, contrast: Contrast) -> float | None:
    numbers = [table.cells[place].published for place in contrast.places]
    means = [number.mean for number in numbers if number is not None]
    if len(means) < len(numbers):
        return None
    return sum(w * mean for w, mean in zip(_signed(table, contrast), means, strict=True))


def _signed(table: Table, contrast: Contrast) -> list[float]:
    """Return the weights, with the sign reversed where less is better."""
    return [weight * table.cells[place].measure.sign for place, weight in contrast.weights]


_OF_SEVERAL = {Verdict.HOLDS: "hold", Verdict.FAILS: "do not hold"}


def claim_lines(judged: Judged) -> str:
    """Return a claim for the terminal: verdict and sentence, both sides' numbers, and each comparison."""
    said = f"published numbers: {_in_print(judged)}; here: {_here(judged)}"
    lines = [f"  [{judged.verdict.value}] {_words(judged)}", f"      {said}"]
    return "\n".join([*lines, *(f"        {one}" for one in comparison_lines(judged))])


def claim_cells(judged: Judged) -> tuple[str, str, str]:
    """Return a claim as a row of a table: the sentence, published numbers, the verdict with ours."""
    return _words(judged), _in_print(judged), f"{judged.verdict.value}: {_here(judged)}"


def comparison_lines(judged: Judged) -> Sequence[str]:
    """Return the outcome of each tested comparison, if a claim makes several."""
    if len(judged.compared) == 1:
        return ()
    pairs = zip(judged.claim.contrasts, judged.compared, strict=True)
    return [
        f"{_in_words(contrast)}: {compared.verdict.value}, {_interval(compared)}"
        for contrast, compared in pairs
        if compared.difference is not None
    ]


def _in_words(contrast: Contrast) -> str:
    """Return a comparison in words: columns of a row, rows of a column, or gains of a column in two rows."""
    more, less = ([place for place, weight in contrast.weights if sign * weight > 0] for sign in (1, -1))
    rows = {row for row, _ in contrast.places}
    if len(rows) == 1:
        return f"{rows.pop()}: {_columns(more)} against {_columns(less)}"
    (row, column), (_, over) = more[0], less[0]
    if contrast.equal:
        return f"{column}: {row} as much as {less[0][0]}"
    if len(less) == 1:
        return f"{column}: {row} against {less[0][0]}"
    return f"gain of {column} over {over}: {row} against {less[1][0]}"


def _columns(places: Sequence[Place]) -> str:
    columns = [column for _, column in places]
    return columns[0] if len(columns) == 1 else f"mean of {', '.join(columns)}"


def _words(judged: Judged) -> str:
    """Return a claim, and how it is read."""
    return f"{judged.claim.says} {judged.claim.note}".strip()


def _in_print(judged: Judged) -> str:
    """Describe what the published numbers say."""
    agree, known = judged.in_print
    if not known:
        return "no numbers"
    if known > 1:
        return f"{agree} of {known} comparisons agree"
    difference = next(value for value in judged.published if value is not None)
    return f"{'agree' if agree else 'disagree'}, {difference:+.3g}"


def _here(judged: Judged) -> str:
    """Tell what the results say in detail."""
    tested = [compared for compared in judged.compared if compared.difference is not None]
    if not judged.compared:
        return "no cell tests it"
    if not tested:
        return f"fewer than {FEWEST} seeds"
    if len(judged.compared) == 1:
        return _interval(tested[0]) + _printed_difference(judged.claim.contrasts[0], tested[0])
    counts = {verdict: judged.count(verdict) for verdict in Verdict}
    return ", ".join(f"{count} {_said(verdict, count)}" for verdict, count in counts.items() if count)


def _printed_difference(contrast: Contrast, compared: Compared) -> str:
    """Tell whether the difference that the text prints is ours as well: the verdict is on its direction alone."""
    if contrast.said is None:
        return ""
    within = compared.low <= contrast.said <= compared.high
    return f"; the text's {contrast.said:+.3g} is {'within' if within else 'not within'}"


def _said(verdict: Verdict, count: int) -> str:
    """Return the words of a verdict on so many comparisons."""
    return _OF_SEVERAL.get(verdict, verdict.value) if count > 1 else verdict.value


def _interval(compared: Compared) -> str:
    if compared.low == compared.high:
        return f"{compared.difference:+.3g}"
    return f"{compared.difference:+.3g} [{compared.low:+.3g}, {compared.high:+.3g}] at {CONFIDENCE:.0%}"
