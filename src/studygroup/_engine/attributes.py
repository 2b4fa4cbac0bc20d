"""What modules hold besides parameters and buffers, put back after passes that are to leave no trace."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_TORCHS = frozenset(vars(nn.Module()))  # modes, hooks and children, which have owners of their own
_PLAIN = (bool, int, float, complex, str, bytes, type(None), Tensor)


@dataclass(frozen=True)
class _Source:
    """How a source of draws is read, put back and seeded."""

    get: Callable[[Any], Any]
    put: Callable[[Any, Any], object]
    seed: Callable[[Any, int], object]


_TORCH = _Source(
    lambda one: one.get_state(), lambda one, state: one.set_state(state), lambda one, s: one.manual_seed(s)
)
_PYTHON = _Source(
    lambda one: one.getstate(), lambda one, state: one.setstate(state), lambda one, s: one.seed(s)
)
_NUMPY = _Source(
    lambda one: one.bit_generator.state,
    lambda one, state: setattr(one.bit_generator, "state", state),
    lambda one, s: setattr(one.bit_generator, "state", type(one.bit_generator)(s).state),
)
_OLD_NUMPY = _Source(
    lambda one: one.get_state(), lambda one, state: one.set_state(state), lambda one, s: one.seed(s)
)


def _source(value: Any) -> _Source | None:
    """Return how a generator of torch, Python or NumPy is handled; `None` for other values."""
    if isinstance(value, torch.Generator):
        return _TORCH
    if isinstance(value, random.Random):
        return None if isinstance(value, random.SystemRandom) else _PYTHON
    if type(value).__module__.startswith("numpy.random"):
        return (
            _NUMPY if hasattr(value, "bit_generator") else _OLD_NUMPY if hasattr(value, "get_state") else None
        )
    return None


class Attributes:
    """Counters, flags, hidden states, tensors and generators of all modules; lists and mappings stay as they are.

    Args:
        model: the network whose modules are looked at.
    """

    def __init__(self, model: nn.Module) -> None:
        self._kept = [(module, _plain(module)) for module in model.modules()]
        self._tensors = {
            id(value): (value, value._version, value.detach().clone())
            for _, kept in self._kept
            for value in kept.values()
            if isinstance(value, Tensor) and not value.is_inference()
        }
        self._draws = [
            (value, own, own.get(value))
            for _, kept in self._kept
            for value in kept.values()
            if (own := _source(value)) is not None
        ]

    def put_back(self) -> None:
        """Put back what was assigned anew, written to or drawn from, and remove what is new."""
        for module, kept in self._kept:
            for name, value in kept.items():
                if name in module.__dict__ and module.__dict__[name] is not value:
                    module.__dict__[name] = value
            for name in _plain(module).keys() - kept.keys():
                del module.__dict__[name]
        for key, (tensor, version, before) in self._tensors.items():
            if tensor._version != version:
                with torch.no_grad():
                    tensor.copy_(before)
                self._tensors[key] = (tensor, tensor._version, before)
        for generator, source, state in self._draws:
            source.put(generator, state)

    def seed(self, seed: int) -> None:
        """Bring all sources of draws that modules hold into a state that follows a seed."""
        for generator, source, _ in self._draws:
            source.seed(generator, seed)


def _plain(module: nn.Module) -> dict[str, Any]:
    """Return what a module holds that is a value, or a tuple of values."""
    return {name: value for name, value in vars(module).items() if name not in _TORCHS and _is_plain(value)}


def _is_plain(value: Any) -> bool:
    return (
        isinstance(value, _PLAIN)
        or _source(value) is not None
        or (type(value) is tuple and all(map(_is_plain, value)))
    )
