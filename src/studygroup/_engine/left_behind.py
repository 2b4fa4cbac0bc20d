"""Networks that were handed in and copied: an optimiser that holds their parameters trains no student."""

import warnings
import weakref
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from studygroup._engine.equal_starts import NoGradientWarning

_given: dict[int, "weakref.ref[nn.Parameter]"] = {}
_looked: "weakref.WeakSet[Optimizer]" = weakref.WeakSet()
_hooks: list[Any] = []


def leave_behind(model: nn.Module) -> None:
    """Warn when an optimiser makes its first step on parameters that have no gradient, some of them a network's.

    Args:
        model: a network of which students are copies.
    """
    for parameter in model.parameters():
        key = id(parameter)
        _given[key] = weakref.ref(parameter, partial(_forget, key))
    if not _hooks:
        _hooks.append(register_optimizer_step_pre_hook(_look))


def _forget(key: int, gone: Any) -> None:
    _given.pop(key, None)


def _look(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    """Look at an optimiser once; one that takes a closure has no gradients yet."""
    if torch.compiler.is_compiling() or optimizer in _looked:
        return
    _looked.add(optimizer)
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    closure = kwargs.get("closure") or next(
        (one for one in args if callable(one) and one is not optimizer), None
    )
    if closure is None and all(p.grad is None for p in held) and any(id(p) in _given for p in held):
        warnings.warn(
            f"{type(optimizer).__name__} holds parameters of the network that was handed in, which have no gradient: "
            "students are copies of it, so that nothing learns; build the optimiser on the task's parameters()",
            NoGradientWarning,
            stacklevel=5,
        )
