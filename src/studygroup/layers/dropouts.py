"""The dropout layers of a network, which give several views of one sample."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from torch.overrides import TorchFunctionMode

from studygroup._engine.isolate import dry_training
from studygroup.inputs import Inputs
from studygroup.layers.run import run

# position and name of the rate in functions that drop
_RATES: dict[Any, tuple[int, str]] = {
    **dict.fromkeys(
        (
            F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout,
            torch.dropout, torch.dropout_, torch.alpha_dropout, torch.alpha_dropout_,
            torch.feature_dropout, torch.feature_dropout_,
            torch.feature_alpha_dropout, torch.feature_alpha_dropout_,
        ),
        (1, "p"),
    ),
    F.scaled_dot_product_attention: (4, "dropout_p"),
    F.multi_head_attention_forward: (10, "dropout_p"),
}  # fmt: skip
_NAMED = 5  # names of a kind that an error lists


def dropout_layers(model: nn.Module, example: Inputs) -> tuple[str, ...]:
    """Return the names of the dropout modules that a training pass calls and that drop something, in call order.

    These are `nn.Dropout`, `Dropout1d` to `Dropout3d`, `AlphaDropout` and `FeatureAlphaDropout`. Dropout that is
    called as a function, as inside attention, has no name under which to give it views; stochastic depth (`DropPath`)
    does not count as dropout.

    Args:
        model: any network; run once in training mode without side effects, batch norms in evaluation.
        example: one batch, as the model takes it; its first two rows are run.

    Raises:
        ValueError: there are none; the message names what was found instead: rates of 0, modules that are not called,
            `Identity`, functions.
    """
    watch = _Watch()
    with ExitStack() as hooks, dry_training(model):
        for name, module in model.named_modules():
            hooks.callback(module.register_forward_pre_hook(partial(watch.enter, name)).remove)
            hooks.callback(module.register_forward_hook(watch.leave).remove)
        with watch:
            run(model, example)
    named = {name: m for name, m in model.named_modules() if isinstance(m, _DropoutNd)}
    found = tuple(name for name in watch.called if name in named and named[name].p > 0)
    if not found:
        raise ValueError(
            f"{type(model).__name__} has no dropout layer that drops something in training; found "
            f"{_instead(model, named, watch)}. Give it nn.Dropout modules with p > 0"
        )
    return found


class _Watch(TorchFunctionMode):
    """Record which modules are called, and inside which of them dropout is called as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.called: dict[str, None] = {}
        self.functions: dict[str, None] = {}
        self._inside: list[tuple[str, nn.Module]] = []

    def enter(self, name: str, module: nn.Module, given: Any) -> None:
        self.called[name] = None
        self._inside.append((name, module))

    def leave(self, module: nn.Module, given: Any, output: Any) -> None:
        self._inside.pop()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the function; record where it drops something and is not called by a dropout module."""
        kwargs = kwargs or {}
        if func in _RATES and self._inside:
            name, module = self._inside[-1]
            if not isinstance(module, _DropoutNd) and _drops(func, args, kwargs):
                self.functions[name or type(module).__name__] = None
        return func(*args, **kwargs)


def _drops(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Tell whether a function that can drop is called with a rate."""
    position, name = _RATES[func]
    usual = 0.5 if name == "p" else 0.0
    rate = args[position] if len(args) > position else kwargs.get(name, usual)
    training = kwargs.get(
        "training", kwargs.get("train", func not in (F.alpha_dropout, F.feature_alpha_dropout))
    )
    training = args[2] if name == "p" and len(args) > 2 else training
    return rate > 0 and bool(training)


def _instead(model: nn.Module, named: dict[str, _DropoutNd], watch: _Watch) -> str:
    """Describe what was found instead of dropout layers."""
    identities = [name for name, module in model.named_modules() if isinstance(module, nn.Identity)]
    called = [name for name in named if name in watch.called]
    kinds = {
        "dropout with p = 0": called,
        "dropout that is never called": [name for name in named if name not in watch.called],
        "dropout called as a function in": list(watch.functions),
        "nn.Identity": sorted(identities, key=lambda name: "drop" not in name),
    }
    words = [
        f"{kind} {', '.join(map(repr, names[:_NAMED]))}{' and others' if len(names) > _NAMED else ''}"
        for kind, names in kinds.items()
        if names
    ]
    return "; ".join(words) or "nothing of the kind"
