"""Label noise: the labels that rows are given to learn from, epoch by epoch.

A noise is a function `noise(truth, *, seed)` from the true labels of some rows to a function of the epoch, which
gives the labels to learn from. Equal arguments give equal labels, so a step can be replayed: the label of a row
follows from the seed, the epoch and the row, and nothing is remembered.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from studygroup.checks import check_flag, check_share
from studygroup.seeding import generator

EpochLabels = Callable[[int], Int64[Tensor, "rows"]]
"""Labels of all rows of a split in an epoch, counted from 0."""


@dataclass(frozen=True, eq=False)
class TrueLabels:
    """The rows whose labels a noise gives, as far as it may know them.

    Attributes:
        labels: true class of each row.
        rows: number of each row in the published training set, from 0.
        published: how many rows that set has.
        classes: names of the classes, in the order of the labels.
    """

    labels: Int64[Tensor, "rows"]
    rows: Int64[Tensor, "rows"]
    published: int
    classes: tuple[str, ...]


@runtime_checkable
class LabelNoise(Protocol):
    """A rule by which labels come to differ from the true ones."""

    def __call__(self, truth: TrueLabels, *, seed: int) -> EpochLabels:
        """Return the labels to learn from, as a function of the epoch.

        Args:
            truth: the true labels, and which rows they belong to.
            seed: the only source of randomness.
        """
        ...


def clean(truth: TrueLabels, *, seed: int) -> EpochLabels:
    """Return the true labels in every epoch: no noise."""
    return SameLabels(truth.labels)


@dataclass(frozen=True, kw_only=True)
class SymmetricNoise:
    """Uniform noise: a share of the rows has labels drawn from all classes, the true one included.

    The noisy rows are drawn once: `round(rate * rows)` of them, whatever their class. Their labels are redrawn
    in every epoch, as in the intra-model paper (section IV-A d: "the portion of noisy labels are fixed in a
    single run, but noisy labels are randomly generated every epoch"). With C classes, about `rate * (1 - 1/C)` of
    all labels are wrong at a time. The rows of a lower rate are among those of a higher one.

    Attributes:
        rate: share of noisy rows, in [0, 1].
        redraw: whether their labels are redrawn in every epoch, else drawn once.

    Raises:
        ValueError: a rate outside [0, 1].
    """

    rate: float
    redraw: bool = True

    def __post_init__(self) -> None:
        check_share("the noise rate", self.rate, of="the rows")
        check_flag("redraw", self.redraw)

    def __call__(self, truth: TrueLabels, *, seed: int) -> EpochLabels:
        """Choose the noisy rows and return the function that gives the labels of an epoch.

        Args:
            truth: the true labels.
            seed: of the rows and of their labels.
        """
        rows = len(truth.labels)
        noisy = torch.zeros(rows, dtype=torch.bool)
        chosen = torch.randperm(rows, generator=generator(seed, "noisy rows"))[: round(self.rate * rows)]
        noisy[chosen] = True
        redrawn = RedrawnLabels(truth.labels, noisy, len(truth.classes), seed)
        return redrawn if self.redraw else SameLabels(redrawn(0))


@dataclass(frozen=True, eq=False)
class SameLabels:
    """Labels that are the same in every epoch.

    Attributes:
        labels: class of each row.
    """

    labels: Int64[Tensor, "rows"]

    def __call__(self, epoch: int) -> Int64[Tensor, "rows"]:
        """Return the labels, not a copy of them."""
        return self.labels


@dataclass(frozen=True, eq=False)
class RedrawnLabels:
    """Labels of which some are redrawn, uniformly from all classes, in every epoch.

    Attributes:
        labels: true class of each row.
        noisy: the rows whose label is drawn.
        classes: how many there are.
        seed: of the draws.
    """

    labels: Int64[Tensor, "rows"]
    noisy: Bool[Tensor, "rows"]
    classes: int
    seed: int

    def __call__(self, epoch: int) -> Int64[Tensor, "rows"]:
        """Return the labels of one epoch, in new memory."""
        # a class for every row, used or not: the label of a noisy row does not depend on which others are noisy
        draw = generator(self.seed, "noisy labels", epoch)
        return torch.where(
            self.noisy, torch.randint(self.classes, self.labels.shape, generator=draw), self.labels
        )
