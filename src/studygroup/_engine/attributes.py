"""What modules hold besides parameters and buffers, put back after passes that are to leave no trace."""

from typing import Any

import torch
from torch import Tensor, nn

_TORCHS = frozenset(vars(nn.Module()))  # modes, hooks and children, which have owners of their own
_PLAIN = (bool, int, float, complex, str, bytes, type(None), Tensor, torch.Generator)


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
            (value, value.get_state())
            for _, kept in self._kept
            for value in kept.values()
            if isinstance(value, torch.Generator)
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
        for generator, state in self._draws:
            generator.set_state(state)


def _plain(module: nn.Module) -> dict[str, Any]:
    """Return what a module holds that is a value, or a tuple of values."""
    return {name: value for name, value in vars(module).items() if name not in _TORCHS and _is_plain(value)}


def _is_plain(value: Any) -> bool:
    return isinstance(value, _PLAIN) or (type(value) is tuple and all(map(_is_plain, value)))
