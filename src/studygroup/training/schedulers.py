"""Schedulers of torch and timm as learning-rate schedules."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from studygroup.checks import check_choice
from studygroup.naming import did_you_mean
from studygroup.training.rates import Rate

_NOT_BY_NAME = ("LRScheduler", "LambdaLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler")


@dataclass(frozen=True)
class TorchRate(Rate):
    """A scheduler of `torch.optim.lr_scheduler`, stepped after every epoch or every update.

    Attributes:
        name: its class, such as `CosineAnnealingWarmRestarts`.
        options: its arguments besides the optimiser, such as `{T_0: 10}`.
        per: whether its steps are epochs or updates.

    Raises:
        ValueError: torch has no such scheduler, or it waits for a score.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    per: Literal["epoch", "update"] = "epoch"

    def __post_init__(self) -> None:
        check_choice("per", self.per, ("epoch", "update"))
        if self.name == "ReduceLROnPlateau":
            raise ValueError(
                "ReduceLROnPlateau waits for a score, and a run's rate follows from the update's number alone; give "
                "another scheduler"
            )
        there = [
            name
            for name, some in vars(lr_scheduler).items()
            if inspect.isclass(some) and issubclass(some, LRScheduler) and name not in _NOT_BY_NAME
        ]
        if self.name not in there:
            raise ValueError(
                f"torch.optim.lr_scheduler has no {self.name!r} that a name and options describe"
                f"{did_you_mean(self.name, there)}"
            )

    def factor(self, epoch: float, epochs: int) -> float:
        """Refuse: the scheduler itself sets the rate.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"{self.name} sets the rate by itself; ask `scheduler`")

    def scheduler(self, optimizer: Optimizer, *, epochs: int, updates: int) -> LRScheduler:
        """Bind the scheduler to an optimiser, to be stepped after every update.

        Raises:
            ValueError: it refuses its options.
        """
        try:
            made: LRScheduler = getattr(lr_scheduler, self.name)(optimizer, **self.options)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.name} refuses its options {dict(self.options)}: {error}") from error
        return made if self.per == "update" else _EveryEpoch(made, updates)


@dataclass(frozen=True)
class TimmRate(Rate):
    """A scheduler of timm, updated after every update, with its lengths in epochs.

    Attributes:
        name: as timm's `--sched`: `cosine`, `tanh`, `step`, `multistep`, `poly`.
        options: further arguments of `timm.scheduler.create_scheduler_v2`, such as `{warmup_epochs: 5}`; the run
            gives `num_epochs`.

    Raises:
        ValueError: timm has no such scheduler, it waits for a score, or it refuses its options.
    """

    name: str = "cosine"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        there = ("cosine", "tanh", "step", "multistep", "poly")
        check_choice("name", self.name, there)
        own = {"sched", "num_epochs", "updates_per_epoch", "step_on_epochs"} & {*self.options}
        if own:
            raise ValueError(f"options has {', '.join(sorted(own))}, which the run gives; leave it out")
        self.scheduler(torch.optim.SGD([torch.zeros(1)], lr=1.0), epochs=1, updates=1)

    def factor(self, epoch: float, epochs: int) -> float:
        """Refuse: the scheduler itself sets the rate.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"timm's {self.name} sets the rate by itself; ask `scheduler`")

    def scheduler(self, optimizer: Optimizer, *, epochs: int, updates: int) -> LRScheduler:
        """Bind the scheduler to an optimiser, to be stepped after every update.

        Raises:
            ValueError: it refuses its options.
        """
        from timm.scheduler.scheduler_factory import create_scheduler_v2

        try:
            made, _ = create_scheduler_v2(
                optimizer,
                sched=self.name,
                num_epochs=epochs,
                updates_per_epoch=updates,
                step_on_epochs=False,
                **self.options,
            )
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"timm's {self.name} refuses its options {dict(self.options)}: {error}"
            ) from error
        return _Timm(optimizer, made)


class _Inner(LRScheduler):
    """A scheduler that another one does the work of; its state is the number of updates."""

    def __init__(self, optimizer: Optimizer) -> None:  # not that of torch, which would make a first step
        self.optimizer, self._updates = optimizer, 0

    def step(self, epoch: int | None = None) -> None:
        """Count an update, and set the rate after it."""
        self._updates += 1
        self.set_rate(self._updates)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def set_rate(self, done: int) -> None:
        """Set the rate after so many updates."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float | Tensor]:
        """Return the rates of all groups."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return the number of updates."""
        return {"updates": self._updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the number of updates."""
        self._updates = int(state_dict["updates"])


class _EveryEpoch(_Inner):
    """A scheduler of torch that makes a step after every so many updates."""

    def __init__(self, inner: LRScheduler, updates: int) -> None:
        super().__init__(inner.optimizer)
        self._scheduler, self._every = inner, updates
        self.base_lrs = inner.base_lrs

    def set_rate(self, done: int) -> None:
        """Make a step at the end of an epoch."""
        if done % self._every == 0:
            self._scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the number of updates and the scheduler's own state."""
        return {**super().state_dict(), "scheduler": self._scheduler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore both."""
        super().load_state_dict(state_dict)
        self._scheduler.load_state_dict(state_dict["scheduler"])


class _Timm(_Inner):
    """A scheduler of timm, whose rate is a function of the number of updates."""

    def __init__(self, optimizer: Optimizer, inner: Any) -> None:
        super().__init__(optimizer)
        self._scheduler, self.base_lrs = inner, list(inner.base_values)

    def set_rate(self, done: int) -> None:
        """Ask timm for the rate after so many updates."""
        self._scheduler.step_update(done)
