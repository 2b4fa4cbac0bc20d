"""Do structures that are good on one data set do well on another? Rank correlation, and the effect of seeds alone."""

import functools
import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau, rankdata, spearmanr, studentized_range

from studygroup.training.comparison import cells, read_rows

DRAWS = 2000
EXACT = 8
"""Structures up to which all orders are tried: n of them have n! orders."""
_DIGITS = 9  # far below one row in points
_TOP = 3  # of the best, whose places on the other set the paper names
Scores = Sequence[Sequence[float]]
"""One list a structure, one number a seed."""
Numbers = npt.NDArray[np.float64]


def ranks(scores: Scores) -> list[int]:
    """Return the ranks of the structures' mean scores, 1 for the highest; ties share the better rank."""
    return [int(rank) for rank in rankdata([-_mean(some) for some in scores], method="min")]


def correlations(first: Scores, second: Scores) -> tuple[float, float]:
    """Return Spearman's rho and Kendall's tau-b of the mean scores; not a number where all are equal.

    Args:
        first: scores of each structure on one data set.
        second: scores of the same structures on another.
    """
    means = [[_mean(some) for some in scores] for scores in (first, second)]
    if any(len(set(row)) == 1 for row in means):
        return math.nan, math.nan
    return float(spearmanr(*means).statistic), float(kendalltau(*means).statistic)


def intervals(
    first: Scores, second: Scores, *, draws: int = DRAWS, confidence: float = 0.95, seed: int = 0
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return bootstrap percentiles of both correlations: each structure's seeds are drawn with replacement.

    They show how far the choice of seeds moves the correlation of these structures, not what other structures would
    give; with few seeds a bootstrap tells too little. Draws whose scores are all equal are left out.

    Args:
        first: scores of each structure on one data set, several seeds each.
        second: scores of the same structures on another.
        draws: number of bootstrap draws.
        confidence: coverage of the intervals.
        seed: seed of the draws.
    """
    rng = np.random.default_rng(seed)
    means = _drawn(first, draws, rng), _drawn(second, draws, rng)
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    places = [rankdata(some, axis=1) for some in means]
    orders = [np.sign(some[:, :, None] - some[:, None, :]).reshape(draws, -1) for some in means]
    (low, high), (lowest, highest) = (
        np.nanquantile(_together(*some), ends).tolist()
        for some in ([one - one.mean(1, keepdims=True) for one in places], orders)
    )
    return (low, high), (lowest, highest)


def chance_of_likeness(first: Scores, second: Scores, *, draws: int = 50_000, seed: int = 0) -> float:
    """Return how often unrelated orders of the structures have this Spearman's rho or a higher one.

    A permutation test: for up to `EXACT` structures all orders of the second set are tried; for more, `draws` orders
    are drawn, and the observed order is counted among them.

    Args:
        first: scores of each structure on one data set.
        second: scores of the same structures on another.
        draws: number of orders.
        seed: seed of the draws.
    """
    one, other = (rankdata([_mean(some) for some in scores]) for scores in (first, second))
    if len(other) <= EXACT:
        orders = np.array([*itertools.permutations(other)])
    else:
        drawn = np.random.default_rng(seed).permuted(np.tile(other, (draws, 1)), axis=1)
        orders = np.concatenate([other[None], drawn])
    # rho is the product of centred ranks, up to a factor that no order changes
    products = orders @ (one - one.mean())
    return float((products >= other @ (one - one.mean()) - 1e-9).mean())


def spread(scores: Scores) -> float:
    """Return the highest minus the lowest mean score."""
    means = [_mean(some) for some in scores]
    return max(means) - min(means)


def spread_of_equals(scores: Scores, *, confidence: float = 0.95) -> float:
    """Return the spread below which as many equal structures would stay, by the scores' own deviation over seeds.

    It is Tukey's studentised range: its quantile times the deviation of a mean.

    Args:
        scores: scores of each structure, equally many seeds each, at least two.
        confidence: share of cases.
    """
    seeds = len(scores[0])
    deviation = math.sqrt(statistics.fmean(statistics.variance(some) for some in scores))
    return _quantile(confidence, len(scores), len(scores) * (seeds - 1)) * deviation / math.sqrt(seeds)


def remarks(
    rows: Mapping[str, Mapping[str, Sequence[float]]], *, confidence: float = 0.95, fewest: int = 3
) -> list[str]:
    """Describe, in sentences, the scores of the same structures on two data sets.

    The sentences give their spread, their rank correlation, and how those that are best on the first set do on the
    second.

    Args:
        rows: scores of each structure in points, one per seed, by the name of the data set; a single set has no
            correlation.
        confidence: coverage of intervals and limits.
        fewest: number of seeds per structure from which the correlation has an interval.
    """
    scores = {name: [*some.values()] for name, some in rows.items()}
    said = [_of_spread(name, some, confidence) for name, some in scores.items()]
    if len(rows) < 2:
        return said
    first, second = scores.values()
    found = correlations(first, second)
    if any(math.isnan(one) for one in found):
        return [*said, "No rank correlation: the structures of a row are all equal."]
    words = [f"Spearman's rho {found[0]:.2f}", f"Kendall's tau {found[1]:.2f}"]
    seeds = min(map(len, [*first, *second]))
    how = f"; no interval, which takes {fewest} seeds of each structure"
    if seeds >= fewest:
        ends = intervals(first, second, confidence=confidence)
        words = [f"{word} [{low:.2f}, {high:.2f}]" for word, (low, high) in zip(words, ends, strict=True)]
        how = (
            f"; {confidence:.0%} over seeds drawn again, {seeds} of each structure: what the luck of seeds does to "
            "these structures, not what others would give"
        )
    test = "exact permutation test" if len(first) <= EXACT else "permutation test, orders drawn"
    return [
        *said,
        f"Rank correlation of {' and '.join(rows)}: {', '.join(words)}{how}.",
        f"Of unrelated orders a share of {chance_of_likeness(first, second):.2g} has such a rho or a higher one "
        f"({test}).",
        *_best(*rows.items()),
    ]


def _best(
    first: tuple[str, Mapping[str, Sequence[float]]], second: tuple[str, Mapping[str, Sequence[float]]]
) -> list[str]:
    """Describe how the best structures on one set do on the other."""
    (one, there), (other, here) = first, second
    orders = [sorted(some, key=lambda name: -_mean(some[name])) for some in (there, here)]
    best = orders[0][0]
    means = {name: _mean(scores) for name, scores in here.items()}
    rank = ranks([*here.values()])[[*here].index(best)]
    gain = means[best] - statistics.fmean(means.values())
    said = [
        f"{best}, the best on {one}, has rank {rank} of {len(here)} on {other}, {gain:+.2f} points from the "
        "mean of all."
    ]
    if len(here) > 2 * _TOP:
        both = len({*orders[0][:_TOP]} & {*orders[1][:_TOP]})
        said.append(f"Of the {_TOP} best on {one}, {both} are among the {_TOP} best on {other}.")
    return said


def _of_spread(name: str, scores: Scores, confidence: float) -> str:
    """Describe the highest minus the lowest score, and what equal structures would have."""
    said = f"{name}: the structures span {spread(scores):.2f} points"
    seeds = min(map(len, scores))
    if seeds < 2:
        return f"{said}; with one seed of each they cannot be told from seeds."
    limit = spread_of_equals([one[:seeds] for one in scores], confidence=confidence)
    return (
        f"{said}; as many equal ones would stay below {limit:.2f} in {confidence:.0%} of cases, by the deviation "
        f"over {seeds} seeds."
    )


@functools.lru_cache  # an integral that takes its time
def _quantile(share: float, groups: int, freedom: int) -> float:
    """Return a quantile of the studentised range."""
    return float(studentized_range.ppf(share, groups, freedom))


def _mean(scores: Sequence[float]) -> float:
    """Return a mean that is equal for equal sums: in the last bits, it depends on which seed has which score."""
    return round(statistics.fmean(scores), _DIGITS)


def _drawn(scores: Scores, draws: int, rng: np.random.Generator) -> Numbers:
    """Return means of resampled seeds, of shape (draws, structures)."""
    drawn = [np.asarray(some)[rng.integers(len(some), size=(draws, len(some)))].mean(1) for some in scores]
    means: Numbers = np.stack(drawn, axis=1).round(_DIGITS)
    return means


def _together(first: Numbers, second: Numbers) -> Numbers:
    """Return Σ ab / √(Σ a² Σ b²) of each row: Spearman's rho of centred ranks, tau-b of the signs of pairs."""
    with np.errstate(invalid="ignore"):  # no order at all is no number
        found: Numbers = (first * second).sum(1) / np.sqrt((first**2).sum(1) * (second**2).sum(1))
    return found


FEWEST = 3
"""Configurations below which an order says nothing."""


@dataclass(frozen=True)
class Transfer:
    """Scores of the same configurations on two data sets.

    Attributes:
        scores: test accuracies of the shipped students in percent, one per seed, by data set and configuration; the
            data sets go by their folders' names.
    """

    scores: Mapping[str, Mapping[str, Sequence[float]]]

    @property
    def table(self) -> list[tuple[str, ...]]:
        """One row of text per configuration: mean ± sample deviation (seeds), and rank, on each set."""
        head = [word for name in self.scores for word in (name, "rank")]
        columns: list[list[str]] = []
        for scores in self.scores.values():
            columns.append([_said(some) for some in scores.values()])
            columns.append([str(rank) for rank in ranks([*scores.values()])])
        names = [*next(iter(self.scores.values()))]
        return [("", *head), *zip(names, *columns, strict=True)]

    @property
    def remarks(self) -> list[str]:
        """The conclusions, in sentences; see `transfer.remarks`."""
        return remarks(self.scores)


def transfer(first: Path, second: Path) -> Transfer:
    """Read two comparisons of equally named configurations, such as route tables on two data sets (CGL, Table 7).

    Example:
        >>> transfer(Path("runs/cifar10"), Path("runs/cifar100")).remarks[-1]

    Args:
        first: folder of `studygroup compare` on the data set on which configurations are chosen.
        second: folder of the comparison on the data set on which they are to be used.

    Raises:
        ValueError: the same folder twice, a folder without a comparison or with an unfinished run, or fewer than
            `FEWEST` configurations in both.
    """
    if first.resolve() == second.resolve():
        raise ValueError(f"{first} is given twice; give comparisons on two data sets")
    found = {folder: cells(folder, read_rows(folder)) for folder in (first, second)}
    shared = [name for name in found[first] if name in found[second]]
    if len(shared) < FEWEST:
        raise ValueError(
            f"{first} and {second} share {len(shared)} configurations ({', '.join(shared) or 'none'}); an order "
            f"takes {FEWEST}, with files of the same names in both calls of `studygroup compare`"
        )
    names = [first.name, second.name] if first.name != second.name else [str(first), str(second)]
    return Transfer(
        {
            name: {one: [100 * run.read_summary().shipped.test for run in runs[one]] for one in shared}
            for name, runs in zip(names, found.values(), strict=True)
        }
    )


def _said(scores: Sequence[float]) -> str:
    """Return mean ± sample deviation (seeds) as text."""
    spread = f" ± {statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
    return f"{statistics.fmean(scores):.2f}{spread} ({len(scores)})"
