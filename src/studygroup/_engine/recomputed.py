"""Activation checkpointing, as libraries of networks switch it on: by attributes of modules."""

from torch import nn

_FLAGS = ("grad_checkpointing", "gradient_checkpointing")  # of timm, and of transformers
SWITCHES = (*_FLAGS, "_gradient_checkpointing_func")
"""Names of the attributes."""


class Switches:
    """The switches of a network, found once."""

    def __init__(self, model: nn.Module) -> None:
        self._found = [(m, name) for m in model.modules() for name in _FLAGS if hasattr(m, name)]

    @property
    def on(self) -> tuple[int, ...]:
        """The numbers of those that are on: what a network calls may depend on them."""
        return tuple(i for i, (module, name) in enumerate(self._found) if getattr(module, name))


def way_out(model: nn.Module) -> str:
    """Return what an error adds where activation checkpointing is on; empty where it is not."""
    if not Switches(model).on:
        return ""
    return (
        "; activation checkpointing is on, and may call its parts: try without, set_grad_checkpointing(False)"
    )
