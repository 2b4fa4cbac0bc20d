"""What a newly drawn module takes over from the module that was given."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import ParametrizationList

from studygroup._engine.copying import parts_of, tag
from studygroup._engine.recomputed import SWITCHES

_HOOKS = (
    ("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"),
    ("_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
    ("_backward_pre_hooks",),
    ("_backward_hooks",),
)


def carry_state(given: nn.Module, drawn: nn.Module) -> None:
    """Bring a new module of equal structure, in place, into the given one's state, trainable weights aside.

    `requires_grad`, attributes and gradient hooks of parameters, their precision, device and memory format, the
    modules' modes and switches of activation checkpointing and, where the new module has none, their hooks are
    carried over. Frozen parameters keep the given values, and so do the buffers of modules of which nothing learns:
    that have no trainable parameter of their own (what parametrises a weight aside, which follows that weight), and
    norms that are kept in evaluation.
    """
    places = {id(old): new for old, new in zip(parts_of(given), parts_of(drawn), strict=True)}
    for old, new in zip(given.parameters(), drawn.parameters(), strict=True):
        new.requires_grad_(old.requires_grad)
        tag(new, old)
        _bring(new, old)
        if not old.requires_grad:
            with torch.no_grad():
                new.copy_(old)
    following = {
        id(part)
        for module in given.modules()
        if isinstance(module, ParametrizationList)
        for part in module.modules()
    }
    for before, after in zip(given.modules(), drawn.modules(), strict=True):
        after.training = before.training
        for name in SWITCHES:
            if name in vars(before):
                setattr(after, name, vars(before)[name])
        frozen = _is_given(before) and id(before) not in following
        for name, buffer in before.named_buffers(recurse=False):
            _bring(after.get_buffer(name), buffer)
            if frozen:
                after.get_buffer(name).copy_(buffer)
        _carry_hooks(before, after, places)


def _is_given(module: nn.Module) -> bool:
    """Tell whether nothing of a module learns, so that its buffers are not to be those of a new one."""
    kept = isinstance(module, _NormBase) and not module.training
    return kept or not any(parameter.requires_grad for parameter in module.parameters(recurse=False))


def _carry_hooks(before: nn.Module, after: nn.Module, places: dict[int, Any]) -> None:
    """Give hooks of the user's module to a new one that has none of that kind; their methods' owners go along."""
    for hooks, *flags in _HOOKS:
        if getattr(before, hooks) and not getattr(after, hooks):
            for name in (hooks, *flags):
                setattr(after, name, copy.deepcopy(getattr(before, name), dict(places)))


def _bring(new: Tensor, old: Tensor) -> None:
    """Give a tensor the precision, device and memory format of another; the shapes are equal."""
    if is_lazy(old) or old.is_meta or new.is_meta or old.layout != torch.strided:
        return
    other = (new.dtype, new.device, new.stride()) != (old.dtype, old.device, old.stride())
    if other and old.is_floating_point() == new.is_floating_point():
        new.data = torch.empty_like(old.data).copy_(new.data)
