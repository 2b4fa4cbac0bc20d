"""Calibration: do predicted probabilities match the observed accuracy (Guo et al. 2017)?"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from studygroup.analysis.answers import Batches, summed, wide
from studygroup.analysis.base import Found, LoadedNetworks, OfNetworks

_FIGURES = ("accuracy", "confidence", "ece", "mce", "nll", "brier")


@dataclass(frozen=True)
class Bin:
    """Rows whose confidence, the probability of the predicted class, lies in (above, to].

    Attributes:
        above: lower end.
        to: upper end.
        count: number of rows; with none, the other two are not known.
        confidence: their mean confidence.
        accuracy: share of correct predictions among them.
    """

    above: float
    to: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibrated:
    """Calibration errors and proper scores of predicted probabilities.

    Attributes:
        accuracy: share of correct predictions.
        confidence: mean probability of the predicted class.
        ece: expected calibration error, Σ_m |B_m|/N · |accuracy − confidence| (equation 3 there), in [0, 1].
        mce: maximum calibration error, the largest of these gaps over bins that hold rows (equation 5).
        nll: mean of −log p(y), in nats.
        brier: mean of Σ_c (p_c − y_c)², y one-hot, in [0, 2] (Brier 1950).
        bins: the bins of the reliability diagram.
    """

    accuracy: float
    confidence: float
    ece: float
    mce: float
    nll: float
    brier: float
    bins: tuple[Bin, ...]


def calibration(networks: Sequence[nn.Module], batches: Batches, *, bins: int = 15) -> Calibrated:
    """Return the calibration of a network, or of several whose probabilities are averaged.

    Args:
        networks: one network, or the members of an ensemble.
        batches: the rows.
        bins: number of bins of equal width between 0 and 1.

    Raises:
        ValueError: no bins, no rows, or logits that are not finite.
    """
    if bins < 1:
        raise ValueError(f"bins is {bins}; give at least 1 (15 is usual)")

    def figures(logits: Tensor, labels: Tensor) -> Tensor:
        return bin_sums(mean_log_probabilities(logits), labels, bins=bins)

    total = summed(networks, batches, figures).finite()
    return calibrated(total.values)


def mean_log_probabilities(logits: Float[Tensor, "students rows classes"]) -> Float[Tensor, "rows classes"]:
    """Return the log of the students' mean class probabilities, also of those that underflow the precision."""
    log_p: Tensor = F.log_softmax(logits, dim=-1).logsumexp(0)
    return log_p - math.log(len(logits))


def bin_sums(
    log_probabilities: Float[Tensor, "rows classes"], labels: Int64[Tensor, " rows"], *, bins: int
) -> Float[Tensor, " sums"]:
    """Return the sums that `calibrated` needs of some rows, in bins of equal width; add those of several batches.

    Returns:
        By bin, sums of rows, correct predictions and confidences, 3 × bins numbers; then the sums of −log p(y) and of
        Brier's score.
    """
    log_p = wide(log_probabilities)
    confidence, named = log_p.exp().max(-1)
    ends = torch.arange(1, bins, device=log_p.device, dtype=log_p.dtype) / bins
    place = torch.bucketize(confidence, ends)  # a value on an end belongs to the bin below
    each = torch.stack([torch.ones_like(confidence), (named == labels).to(log_p.dtype), confidence])
    sums = log_p.new_zeros(3, bins).index_add_(1, place, each)
    nll = F.nll_loss(log_p, labels, reduction="sum")
    brier = (log_p.exp() - F.one_hot(labels, log_p.shape[-1])).square().sum()
    return torch.cat([sums.flatten(), torch.stack([nll, brier])])


def calibrated(sums: Float[Tensor, " sums"]) -> Calibrated:
    """Return the calibration from the sum of all results of `bin_sums`; waits for the device."""
    *each, nll, brier = sums.tolist()
    bins = len(each) // 3
    counts, right, confidences = each[:bins], each[bins : 2 * bins], each[2 * bins :]
    by_bin = tuple(zip(counts, right, confidences, strict=True))
    rows, gaps = sum(counts), [abs(r - c) for _, r, c in by_bin]
    return Calibrated(
        accuracy=sum(right) / rows,
        confidence=sum(confidences) / rows,
        ece=sum(gaps) / rows,
        mce=max(gap / n for gap, n in zip(gaps, counts, strict=True) if n),
        nll=nll / rows,
        brier=brier / rows,
        bins=tuple(
            Bin(m / bins, (m + 1) / bins, int(n), c / n if n else None, r / n if n else None)
            for m, (n, r, c) in enumerate(by_bin)
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Calibration(OfNetworks):
    """Calibration of the shipped network, and of the ensemble of all students.

    Attributes:
        split: rows to evaluate: those of the test set, or those held out of training.
        rows: number of rows to take, each class in proportion, always the same; omitted, all.
        bins: number of bins of equal width, for the calibration errors and the reliability diagram.
    """

    bins: int = 15

    def evaluate(self, networks: LoadedNetworks) -> Found:
        """Return the calibration of both."""
        members = {"shipped": (networks.shipped,), "ensemble": networks.students()}
        return {
            name: asdict(calibration(own, networks.batches, bins=self.bins)) for name, own in members.items()
        }

    def table(self, found: Found) -> Sequence[tuple[str, ...]]:
        """Return the figures of both, then the reliability of the shipped network's confidences."""
        sides = [found["shipped"], found["ensemble"]]
        bins = [bin for bin in found["shipped"]["bins"] if bin["count"]]
        return [
            ("", "shipped", "ensemble", ""),
            *((name, *(f"{side[name]:.4f}" for side in sides), "") for name in _FIGURES),
            ("shipped, confidence in", "mean", "accuracy", "rows"),
            *(
                (
                    f"({bin['above']:.3f}, {bin['to']:.3f}]",
                    f"{bin['confidence']:.3f}",
                    f"{bin['accuracy']:.3f}",
                    str(bin["count"]),
                )
                for bin in bins
            ),
        ]
