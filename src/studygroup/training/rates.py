"""Learning-rate schedules as frozen values: pure functions of the progress of training.

Each is a multiplier of the optimiser's own rate, so `lr` is given once, with the optimiser. They are applied after
every update through `torch.optim.lr_scheduler.LambdaLR`, whose only state is the update's number: an interrupted run
resumes with the rate it would have had.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from studygroup.checks import check_names, check_number, check_share


class Rate(ABC):
    """Base class of learning-rate schedules; subclass it for your own."""

    @abstractmethod
    def factor(self, epoch: float, epochs: int) -> float:
        """Return the multiplier of the optimiser's learning rate.

        Args:
            epoch: epochs done so far, in [0, epochs]; whole numbers at the ends of epochs.
            epochs: epochs in all.
        """

    def check(self, epochs: int) -> None:  # noqa: B027  most schedules fit any number
        """Refuse so many epochs, if the schedule does not fit them; a base class fits any.

        Raises:
            ValueError: it does not.
        """

    def scheduler(self, optimizer: Optimizer, *, epochs: int, updates: int) -> LRScheduler:
        """Bind the schedule to an optimiser, to be stepped after every update.

        Args:
            optimizer: the optimiser whose learning rate is multiplied.
            epochs: epochs in all.
            updates: updates in one epoch.
        """
        return LambdaLR(optimizer, lambda update: self.factor(update / updates, epochs))


@dataclass(frozen=True)
class Constant(Rate):
    """The optimiser's own rate throughout."""

    def factor(self, epoch: float, epochs: int) -> float:
        """Return 1."""
        return 1.0


@dataclass(frozen=True)
class MultiStep(Rate):
    """Multiplication of the rate by a factor at each milestone (CGL: halved at epochs 60, 120 and 160).

    Attributes:
        multiply: the factor at each milestone.
        milestones: in epochs.

    Raises:
        ValueError: a factor or a milestone that is negative or not finite.
    """

    multiply: float = 0.5
    milestones: Sequence[int] = (60, 120, 160)

    def __post_init__(self) -> None:
        check_number("multiply", self.multiply, least=0)
        for milestone in check_names("milestones", self.milestones):
            check_number("one of the milestones", milestone, least=0)

    def factor(self, epoch: float, epochs: int) -> float:
        """Return `multiply` to the power of the number of milestones passed."""
        return float(self.multiply ** sum(milestone <= epoch for milestone in self.milestones))


@dataclass(frozen=True)
class Cosine(Rate):
    """Half a cosine from the full rate down to a floor, after an optional linear warm-up.

    Attributes:
        floor: the last multiplier, in [0, 1].
        warmup: epochs of linear rise from 0 before the cosine.

    Raises:
        ValueError: a floor outside [0, 1], or a warm-up that is negative or not finite.
    """

    floor: float = 0.0
    warmup: float = 0.0

    def __post_init__(self) -> None:
        check_share("floor", self.floor)
        check_number("warmup", self.warmup, least=0)

    def check(self, epochs: int) -> None:
        """Refuse a warm-up that leaves no epoch."""
        if self.warmup >= epochs:
            raise ValueError(
                f"warmup is {self.warmup:g} of {epochs} epochs, and nothing is left to fall; give fewer"
            )

    def factor(self, epoch: float, epochs: int) -> float:
        """Return a multiplier that rises over `warmup`, then falls to `floor` at the last update."""
        if epoch < self.warmup:
            return epoch / self.warmup
        return _cosine(1.0, self.floor, (epoch - self.warmup) / (epochs - self.warmup))


@dataclass(frozen=True)
class OneCycle(Rate):
    """One cosine rise to the optimiser's rate and one cosine fall (Smith & Topin 2018), update by update.

    Momentum is left alone; `lr` of the optimiser is the peak.

    Attributes:
        rise: share of the training spent rising, in (0, 1).
        start: first multiplier.
        end: last multiplier.

    Raises:
        ValueError: a share outside (0, 1), or a multiplier that is negative or not finite.
    """

    rise: float = 0.3
    start: float = 0.04
    end: float = 4e-6

    def __post_init__(self) -> None:
        check_number("rise", check_share("rise", self.rise, of="the training", whole=False), above=0)
        check_number("start", self.start, least=0)
        check_number("end", self.end, least=0)

    def factor(self, epoch: float, epochs: int) -> float:
        """Return a multiplier that rises from `start` to 1 over the share `rise`, then falls to `end`."""
        done = epoch / epochs
        if done < self.rise:
            return _cosine(self.start, 1.0, done / self.rise)
        return _cosine(1.0, self.end, (done - self.rise) / (1 - self.rise))


def _cosine(first: float, last: float, share: float) -> float:
    """Interpolate from `first` to `last` along half a cosine; `share` runs from 0 to 1."""
    return last + (first - last) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
