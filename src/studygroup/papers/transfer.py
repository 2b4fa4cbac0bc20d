"""Do structures that are good on one data set do well on another: rank correlation, and what seeds alone would do."""

import functools
import itertools
import math
import statistics
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau, rankdata, spearmanr, studentized_range

DRAWS = 2000
Scores = Sequence[Sequence[float]]
"""One list a structure, one number a seed."""
Numbers = npt.NDArray[np.float64]


def ranks(scores: Scores) -> list[int]:
    """Places of the mean scores, 1 for the highest; equals share the better place.

    Args:
        scores: of each structure.
    """
    return [int(rank) for rank in rankdata([-statistics.fmean(some) for some in scores], method="min")]


def correlations(first: Scores, second: Scores) -> tuple[float, float]:
    """Spearman's rho and Kendall's tau-b of the mean scores; not a number where all are equal.

    Args:
        first: of each structure on one data set.
        second: of the same on another.
    """
    means = [[statistics.fmean(some) for some in scores] for scores in (first, second)]
    if any(len(set(row)) == 1 for row in means):
        return math.nan, math.nan
    return float(spearmanr(*means).statistic), float(kendalltau(*means).statistic)


def intervals(
    first: Scores, second: Scores, *, draws: int = DRAWS, confidence: float = 0.95, seed: int = 0
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Percentiles of both correlations over seeds drawn again, with replacement, for each structure and data set.

    They tell how far the luck of seeds moves the correlation of these structures, not what others would give; of few
    seeds a bootstrap tells too little, and draws whose scores are all equal are left out.

    Args:
        first: of each structure on one data set, several seeds each.
        second: of the same on another.
        draws: how often.
        confidence: of the intervals.
        seed: of the draws.
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


def chance_of_likeness(first: Scores, second: Scores) -> float:
    """How often structures whose orders have nothing to do with each other have this Spearman's rho or a higher one.

    An exact permutation test: all orders of the second set are tried.

    Args:
        first: of each structure on one data set; a handful, as n structures have n! orders.
        second: of the same on another.
    """
    one, other = (rankdata([statistics.fmean(some) for some in scores]) for scores in (first, second))
    # of centred ranks rho is the product, up to a factor that no order changes
    products = np.array([*itertools.permutations(other)]) @ (one - one.mean())
    return float((products >= other @ (one - one.mean()) - 1e-9).mean())


def spread(scores: Scores) -> float:
    """Highest less lowest mean score."""
    means = [statistics.fmean(some) for some in scores]
    return max(means) - min(means)


def spread_of_equals(scores: Scores, *, confidence: float = 0.95) -> float:
    """Below which the spread of as many equal structures would stay, by the scores' own deviation over seeds.

    It is Tukey's studentised range: its quantile times the deviation of a mean.

    Args:
        scores: of each structure, as many seeds each, at least two.
        confidence: share of cases.
    """
    seeds = len(scores[0])
    deviation = math.sqrt(statistics.fmean(statistics.variance(some) for some in scores))
    return _quantile(confidence, len(scores), len(scores) * (seeds - 1)) * deviation / math.sqrt(seeds)


@functools.lru_cache  # an integral that takes its time
def _quantile(share: float, groups: int, freedom: int) -> float:
    """Of the studentised range."""
    return float(studentized_range.ppf(share, groups, freedom))


def _drawn(scores: Scores, draws: int, rng: np.random.Generator) -> Numbers:
    """Means of seeds drawn again, (draws, structures)."""
    drawn = [np.asarray(some)[rng.integers(len(some), size=(draws, len(some)))].mean(1) for some in scores]
    return np.stack(drawn, axis=1)


def _together(first: Numbers, second: Numbers) -> Numbers:
    """Sum of products over the root of that of squares, row by row: of centred ranks rho, of signs of pairs tau-b."""
    with np.errstate(invalid="ignore"):  # no order at all is no number
        found: Numbers = (first * second).sum(1) / np.sqrt((first**2).sum(1) * (second**2).sum(1))
    return found
