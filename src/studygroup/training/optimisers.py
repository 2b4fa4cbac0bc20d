"""Whether an optimiser can train a run."""

import inspect
from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer


def check_optimizer(make: Callable[..., Optimizer]) -> None:
    """Refuse an optimiser that refuses its arguments, or that evaluates the loss as often as it likes.

    A run's figures, draws and clipping count on one evaluation an update.

    Args:
        make: builds it over parameters.

    Raises:
        ValueError: it cannot train a run.
    """
    try:
        optimizer = make([nn.Parameter(torch.zeros(1, 1))])
    except (TypeError, ValueError) as error:
        raise ValueError(f"the optimizer refuses its arguments: {error}") from error
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ValueError(
            f"optimizer {type(optimizer).__name__} evaluates the loss several times an update, and the figures of a "
            "run count on once; choose another, or use this one in a loop of your own"
        )
