"""Confidence intervals of means over seeds, and of their differences."""

import math
import statistics
from collections.abc import Sequence

from scipy.special import stdtr, stdtrit

FEWEST = 3
"""Seeds below which no interval is shown and nothing is claimed."""
CONFIDENCE = 0.95


def half_width(numbers: Sequence[float], *, fewest: int = FEWEST) -> float:
    """Return half of the confidence interval of a mean, by Student's t; 0 below `fewest` numbers."""
    if len(numbers) < fewest:
        return 0.0
    reach = float(stdtrit(len(numbers) - 1, (1 + CONFIDENCE) / 2))
    return reach * statistics.stdev(numbers) / math.sqrt(len(numbers))


def paired_gain(scores: Sequence[float], base: Sequence[float]) -> str:
    """Return how many points scores are over others, pair by pair, with the half-width: `+1.2 ± 0.8`.

    Args:
        scores: shares in [0, 1], one a seed.
        base: those that they are compared with, of the same seeds in the same order.

    Returns:
        Mean difference in points, with half of its confidence interval from three pairs on.
    """
    apart = [100 * (score - other) for score, other in zip(scores, base, strict=True)]
    sure = f" ± {half_width(apart):.1f}" if len(apart) >= FEWEST else ""
    return f"{statistics.fmean(apart):+.1f}{sure}"


def welch(samples: Sequence[Sequence[float]], weights: Sequence[float]) -> tuple[float, float, float, float]:
    """Return Σ weight × mean of independent samples of unequal spread, with its interval and p-value.

    Degrees of freedom are those of Welch and Satterthwaite; for weights 1 and -1 this is Welch's interval for a
    difference of means.

    Args:
        samples: at least two values each.
        weights: one per sample.

    Returns:
        Estimate, lower and upper end, and the two-sided p-value of a sum of 0. Where no sample has any spread the
        ends are the estimate, and p is 0, or 1 where that is 0.
    """
    estimate = sum(weight * statistics.fmean(sample) for weight, sample in zip(weights, samples, strict=True))
    parts = [
        weight**2 * statistics.variance(sample) / len(sample)
        for weight, sample in zip(weights, samples, strict=True)
    ]
    total = sum(parts)
    if total == 0:
        return estimate, estimate, estimate, float(estimate == 0)
    freedom = total**2 / sum(part**2 / (len(sample) - 1) for part, sample in zip(parts, samples, strict=True))
    reach = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(total)
    p = 2 * float(stdtr(freedom, -abs(estimate) / math.sqrt(total)))
    return estimate, estimate - reach, estimate + reach, p
