"""Students that start equal and that nothing makes differ would stay one network at the price of several."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

_RATES = ("p", "drop_prob", "drop_rate")


class EqualStudentsWarning(UserWarning):
    """Students start with equal weights, and nothing known to the task makes them differ."""


def equal_modules(modules: Sequence[nn.Module]) -> bool:
    """Tell whether modules have parameters and buffers of the same values."""
    first, *others = (module.state_dict() for module in modules)
    return all(first.keys() == other.keys() and _equal(first, other) for other in others)


def _equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    tensors = {name: value for name, value in one.items() if isinstance(value, torch.Tensor)}
    if any(value.is_meta for value in tensors.values()):  # shapes alone
        return False
    return all(v.shape == other[name].shape and bool((v == other[name]).all()) for name, v in tensors.items())


def drops_something(model: nn.Module) -> bool:
    """Tell whether a module of dropout or stochastic depth draws a new mask in every pass."""
    return any(
        "drop" in type(module).__name__.lower() or "stochasticdepth" in type(module).__name__.lower()
        for module in model.modules()
        if any(isinstance(rate := getattr(module, name, None), float) and rate > 0 for name in _RATES)
    )


def warn_of_equal_students(model: nn.Module) -> None:
    """Warn that students will stay equal, unless the network draws something in every pass.

    Args:
        model: the students' network, known to have equal weights for all students.
    """
    if not drops_something(model):
        warnings.warn(
            "all students start with the same weights, see the same rows and draw nothing, so that they would stay "
            "equal; start them apart with init=<a function that returns a new model>, give them sub-sets of rows "
            "(rows=Subsets()), or dropout",
            EqualStudentsWarning,
            stacklevel=4,
        )
