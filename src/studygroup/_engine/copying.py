"""Copies of networks that keep attributes of parameters, frozen parameters and modes."""

import copy
from collections.abc import Iterator
from types import FunctionType
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.parameter import is_lazy

M = TypeVar("M", bound=nn.Module)


def duplicate(module: M, memo: dict[int, Any] | None = None) -> M:
    """Return a deep copy whose parameters keep their attributes, such as `_no_weight_decay`, which `deepcopy` drops.

    Args:
        module: the module to copy.
        memo: as for `copy.deepcopy`.
    """
    memo = {} if memo is None else memo
    made = copy.deepcopy(module, memo)
    for parameter in module.parameters():
        _tag(memo.get(id(parameter)), parameter)
    return made


def carry_state(given: nn.Module, drawn: nn.Module) -> None:
    """Bring a newly initialised module of equal structure into the given one's state, trainable weights aside.

    `requires_grad`, attributes of parameters and the modules' modes are carried over. Frozen parameters keep the
    given values, and so do the buffers of modules whose parameters are all frozen.

    Args:
        given: the module of the user's model.
        drawn: changed in place.
    """
    for old, new in zip(given.parameters(), drawn.parameters(), strict=True):
        new.requires_grad_(old.requires_grad)
        _tag(new, old)
        if not old.requires_grad:
            with torch.no_grad():
                new.copy_(old)
    for before, after in zip(given.modules(), drawn.modules(), strict=True):
        after.training = before.training
        own = list(before.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            for name, buffer in before.named_buffers(recurse=False):
                after.get_buffer(name).copy_(buffer)


def check_can_copy(model: nn.Module, *, fresh: bool) -> None:
    """Refuse a network of which a copy would behave differently.

    Args:
        model: the user's model.
        fresh: whether weights of further modules are re-initialised.

    Raises:
        ValueError: a module whose `forward` was replaced by a function, which copies would share with the original;
            parameters that have no shape yet.
    """
    for name, module in model.named_modules():
        patched = module.__dict__.get("forward")
        if isinstance(patched, FunctionType) and "_orig_mod" not in module._modules:  # not of torch.compile
            where = f"layer {name!r}" if name else "the model"
            raise ValueError(
                f"forward of {where} ({type(module).__name__}) was replaced by the function "
                f"{patched.__qualname__!r}, which copies would share, with whatever it refers to; write a subclass "
                "with that forward, or bind it with types.MethodType"
            )
    lazy = [name for name, parameter in _lazy(model)]
    if fresh and lazy:
        raise ValueError(
            f"parameter {lazy[0]!r} has no shape yet, so no second one can be drawn; call the model once on a batch "
            "before it is handed in"
        )


def _lazy(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, parameter) for name, parameter in model.named_parameters() if is_lazy(parameter))


def _tag(new: Any, old: nn.Parameter) -> None:
    if new is not None and new is not old:
        new.__dict__.update(old.__dict__)
