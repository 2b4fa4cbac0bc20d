"""Copies of networks, whatever their modules hold, that keep what a plain deep copy loses."""

import copy
import warnings
import weakref
from collections.abc import Iterator
from types import FunctionType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

M = TypeVar("M", bound=nn.Module)


class SharedAttributeWarning(UserWarning):
    """Something that a module holds cannot be copied, so that its copies refer to the same."""


def duplicate(module: M, memo: dict[Any, Any] | None = None) -> M:
    """Return a deep copy, also where modules hold tensors with a gradient, weak references or what cannot be copied.

    Parameters keep their attributes, such as `_no_weight_decay`, and the hooks on their gradients. A tensor that was
    computed, such as a normalised weight, becomes a constant, and a view of a parameter a view of its copy. Weak
    references among the modules lead to the copies. What cannot be copied, such as a lock, is shared, with a warning.
    """
    memo = {} if memo is None else memo
    before = dict(memo)
    try:
        with _Computed(module):
            made = copy.deepcopy(module, memo)
    except Exception:
        shared = _keep_what_cannot_be_copied(module)
        if not shared:
            raise
        memo.clear()
        memo.update(before | shared)
        with _Computed(module):
            made = copy.deepcopy(module, memo)
    for parameter in module.parameters():
        tag(memo.get(id(parameter)), parameter)
    for part, name, value in list(_attributes(module)):
        there = value() if type(value) is weakref.ref else None
        if id(part) in memo and there is not None and id(there) in memo:
            memo[id(part)].__dict__[name] = weakref.ref(memo[id(there)])
    return made


class _Computed(TorchFunctionMode):
    """Lets computed tensors be copied, and tensors that share memory with a parameter share it with its copy."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._homes = {
            storage.data_ptr(): parameter
            for parameter in module.parameters()
            if not (is_lazy(parameter) or parameter.is_meta)
            and type(parameter.data) is Tensor
            and parameter.layout == torch.strided
            and (storage := parameter.untyped_storage()).nbytes()
            == parameter.numel() * parameter.itemsize
            > 0
        }

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not Tensor.__deepcopy__:
            return func(*args, **(kwargs or {}))
        tensor, memo = args
        home = self._home(tensor)
        if home is not None:
            with self:  # inside this method the mode is off
                own = copy.deepcopy(home, memo)
            offset = tensor.storage_offset() - home.storage_offset() + own.storage_offset()
            with torch.enable_grad():
                made = (own.detach() if tensor.is_leaf else own).as_strided(
                    tensor.shape, tensor.stride(), offset
                )
        elif tensor.is_leaf:
            return func(*args, **(kwargs or {}))  # type: ignore[no-untyped-call]
        else:
            made = tensor.detach().clone()
        memo[id(tensor)] = made
        return made

    def _home(self, tensor: Tensor) -> Tensor | None:
        """Return the parameter, or the computed tensor, whose memory a tensor shows."""
        if tensor.layout != torch.strided or tensor.is_meta or type(tensor) is not Tensor:
            return None
        if not tensor.is_leaf:
            return tensor._base if tensor._is_view() else None
        home = self._homes.get(tensor.untyped_storage().data_ptr())
        return home if home is not None and home.dtype == tensor.dtype and not tensor.requires_grad else None


def _attributes(module: nn.Module) -> Iterator[tuple[nn.Module, str, Any]]:
    """Yield what all modules hold besides their children."""
    for part in module.modules():
        yield from ((part, name, value) for name, value in part.__dict__.items() if name != "_modules")


def _keep_what_cannot_be_copied(module: nn.Module) -> dict[int, Any]:
    """Return what modules hold and no copy can be made of, for a memo; warn of it by name."""
    names = {part: name for name, part in module.named_modules()}
    parts: dict[int, Any] = {id(part): part for part in names}
    kept = {}
    for part, name, value in list(_attributes(module)):
        try:
            with _Computed(part):
                copy.deepcopy(value, dict(parts))
        except Exception as error:
            where = f"layer {names[part]!r}" if names[part] else "the model"
            warnings.warn(
                f"{name!r} of {where} ({type(part).__name__}) cannot be copied ({error}), so that all copies refer "
                f"to the same {type(value).__name__}; give its class a __deepcopy__, if each is to have its own",
                SharedAttributeWarning,
                stacklevel=4,
            )
            kept[id(value)] = value
    return kept


def surroundings(model: nn.Module, inner: nn.Module, like: nn.Module | None = None) -> dict[Any, Any]:
    """Return a memo with which copies of an inner part refer to what is around it, instead of copying that too.

    With `like`, copies refer to the modules and parameters of the same names in that model.
    """
    own = {id(part) for part in parts_of(inner)}
    around = dict((like or model).named_modules()) | dict((like or model).named_parameters())
    named = [*model.named_modules(), *model.named_parameters()]
    return {id(part): around[name] for name, part in named if id(part) not in own and name in around}


def check_can_copy(model: nn.Module) -> None:
    """Refuse a network of which a copy would behave differently.

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
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise ValueError(
                f"parameter {name!r} has no shape yet, so there cannot be a second one; call the model once on a "
                "batch before it is handed in"
            )


def parts_of(module: nn.Module) -> list[nn.Module | nn.Parameter]:
    """Return all modules and parameters of a network, itself first."""
    return [*module.modules(), *module.parameters()]


def tag(new: Any, old: nn.Parameter) -> None:
    """Give a parameter's attributes and the hooks on its gradient to its copy, if there is one."""
    if new is None or new is old:
        return
    new.__dict__.update(old.__dict__)
    if not new.requires_grad:
        return
    for hooks, register in (
        ("_backward_hooks", new.register_hook),
        ("_post_accumulate_grad_hooks", new.register_post_accumulate_grad_hook),
    ):
        if not getattr(new, hooks):
            for hook in (getattr(old, hooks) or {}).values():
                register(hook)
