"""MixUp and CutMix: two pictures in one, with the labels of both.

They work on network input on its device, draw on the host, and mix a row only with rows of the same student.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from studygroup._engine.selection import to_device
from studygroup.checks import check_number, check_share

Mixed = tuple[Float[Tensor, "batch channels height width"], Float[Tensor, "batch classes"]]


@runtime_checkable
class Mix(Protocol):
    """A random mixture of the pictures of a batch and of their labels."""

    def __call__(
        self, images: Any, labels: Any, *, classes: int, owner: Any, generator: torch.Generator
    ) -> Any:
        """Return the mixed pictures, and probabilities of the classes (batch, classes) as their labels.

        Args:
            images: network input (batch, channels, height, width).
            labels: class indices (batch,).
            classes: number of classes.
            owner: the student that each row belongs to, on the CPU; None where all students see every row.
            generator: on the CPU, the only source of randomness.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class _Pairs:
    """The base of MixUp and CutMix, which mix every picture with another of the same student."""

    alpha: float
    p: float = 1.0

    def __post_init__(self) -> None:
        check_number("alpha", self.alpha, above=0)
        check_share("p", self.p, of="the batches")

    def __call__(
        self,
        images: Float[Tensor, "batch channels height width"],
        labels: Int64[Tensor, "batch"],
        *,
        classes: int,
        owner: Int64[Tensor, "batch"] | None,
        generator: torch.Generator,
    ) -> Mixed:
        """Mix every picture with another of the same student, see `Mix`.

        Raises:
            ValueError: the rows are texts.
        """
        if not isinstance(images, Tensor) or images.ndim != 4:
            raise ValueError(f"{type(self).__name__} mixes pictures and these rows are none; leave `mix` out")
        share, across, down = _draw(self.alpha, self.p, generator)
        other = to_device(_partners(len(labels), owner), images.device)
        mixed, kept = self._mixed(images, images[other], share, (down, across))
        return mixed, _labels(labels, other, classes, kept)

    def _mixed(
        self, images: Tensor, others: Tensor, share: float, place: tuple[float, float]
    ) -> tuple[Tensor, float]:
        """Return the mixed pictures, and the share of its own that each keeps; `place` is (down, across)."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class MixUp(_Pairs):
    """Weighted means of two pictures and of their labels (Zhang et al. 2018), as torchvision's `v2.MixUp`.

    Attributes:
        alpha: the share of a picture is drawn from Beta(alpha, alpha), once a batch; above 0.
        p: probability that a batch is mixed.

    Raises:
        ValueError: an `alpha` that is not above 0, or a `p` outside [0, 1].
    """

    alpha: float = 0.2

    def _mixed(
        self, images: Tensor, others: Tensor, share: float, place: tuple[float, float]
    ) -> tuple[Tensor, float]:
        return share * images + (1 - share) * others, share


@dataclass(frozen=True, kw_only=True)
class CutMix(_Pairs):
    """A rectangle of another picture in each, labels by area (Yun et al. 2019), as torchvision's `v2.CutMix`.

    Attributes:
        alpha: the share of a picture is drawn from Beta(alpha, alpha), once a batch; above 0.
        p: probability that a batch is mixed.

    Raises:
        ValueError: an `alpha` that is not above 0, or a `p` outside [0, 1].
    """

    alpha: float = 1.0

    def _mixed(
        self, images: Tensor, others: Tensor, share: float, place: tuple[float, float]
    ) -> tuple[Tensor, float]:
        half = 0.5 * math.sqrt(1 - share)
        (top, bottom), (left, right) = (
            _side(int(at * length), int(half * length), length)
            for at, length in zip(place, images.shape[-2:], strict=True)
        )
        mixed = images.clone()
        mixed[..., top:bottom, left:right] = others[..., top:bottom, left:right]
        return mixed, 1 - (bottom - top) * (right - left) / images[0, 0].numel()


def _draw(alpha: float, p: float, generator: torch.Generator) -> tuple[float, float, float]:
    """Draw the share of a row's own picture, 1 where the batch is not mixed, and a place (across, down) in [0, 1)."""
    draws = random.Random(int(torch.randint(2**62, (), generator=generator)))
    mixes, share = draws.random() < p, draws.betavariate(alpha, alpha)
    return (share if mixes else 1.0), draws.random(), draws.random()


def _side(centre: int, half: int, length: int) -> tuple[int, int]:
    return max(centre - half, 0), min(centre + half, length)


def _partners(rows: int, owner: Tensor | Sequence[int] | None) -> Tensor:
    """Return for each row the one before it of the same student, round in a circle."""
    whose = torch.zeros(rows, dtype=torch.int64) if owner is None else torch.as_tensor(owner)
    found = torch.empty(rows, dtype=torch.int64)
    for student in set(whose.tolist()):
        own = (whose == student).nonzero().flatten()
        found[own] = own.roll(1)
    return found


def _labels(labels: Tensor, other: Tensor, classes: int, share: float) -> Tensor:
    each = F.one_hot(labels.long(), classes).float()
    return share * each + (1 - share) * each[other]
