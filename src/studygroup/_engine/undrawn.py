"""Passes in which nothing is drawn: what would be random is the same for every row, so that passes compare."""

import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_DROPPED = ("dropout", "dropout_p")  # arguments of attention and recurrent layers in one kernel
_MIDDLE = 0.5


class Undrawn(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Replace what operations draw by constants: dropout keeps everything, and noise is the same everywhere.

    Permutations are those that turn the order round. Distributions that are not known here are drawn.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Decline torch's wrapper, which imports the compiler, for seconds; dry runs are never compiled."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation."""
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        args, kwargs = _without_dropout(func, args, kwargs)
        return _constant(func, args, kwargs, func(*args, **kwargs))


def _without_dropout(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the arguments with a rate of 0; `native_dropout` takes its input as it is outside training."""
    named = {argument.name: value for argument, value in zip(func._schema.arguments, args, strict=False)}
    named |= kwargs
    if func is torch.ops.aten.native_dropout.default:
        return (), named | {"train": False}
    if any(name in named for name in _DROPPED):
        return (), named | {name: 0.0 for name in _DROPPED if name in named}
    return args, kwargs


def _constant(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], drawn: Any) -> Any:
    """Return what stands in the place of the numbers that an operation has drawn, in the same tensor."""
    name = str(func._schema.name).removeprefix("aten::")
    family = name.removesuffix("_").removesuffix("_like").removesuffix("_functional")
    if family == "bernoulli":
        return drawn.fill_(1.0)
    if family == "randperm":
        return drawn.copy_(torch.arange(len(drawn) - 1, -1, -1, device=drawn.device))
    if family in ("randint", "random"):
        return drawn.fill_(_lowest(func, args, kwargs))
    if family == "uniform":
        low, high = _numbers(func, args, kwargs, {"from": 0.0, "to": 1.0})
        return drawn.fill_(low + _MIDDLE * (high - low))
    if family in ("rand", "randn", "exponential", "cauchy", "log_normal"):
        return drawn.fill_(_MIDDLE)
    if family == "normal":
        return _normal(func, args, kwargs, drawn)
    if family == "geometric":
        return drawn.fill_(1.0)
    if name == "multinomial":
        return _likeliest(args[0], drawn)
    return drawn


def _numbers(
    func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], wanted: Mapping[str, float]
) -> list[Any]:
    given = {argument.name: value for argument, value in zip(func._schema.arguments, args, strict=False)}
    given |= kwargs
    return [given.get(name, default) for name, default in wanted.items()]


def _lowest(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    (low, start) = _numbers(func, args, kwargs, {"low": 0, "from": 0})
    return int(low or start or 0)


def _normal(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], drawn: Tensor) -> Tensor:
    mean, std = _numbers(func, args, kwargs, {"mean": 0.0, "std": 1.0})
    return drawn.copy_(torch.as_tensor(mean + _MIDDLE * std, device=drawn.device))


def _likeliest(weights: Tensor, drawn: Tensor) -> Tensor:
    count = drawn.shape[-1]
    order = weights.argsort(-1, descending=True)
    return drawn.copy_(order[..., :count] if count <= order.shape[-1] else order[..., :1])


@contextmanager
def undrawn(seed: int = 0) -> Iterator[None]:
    """Let a pass draw nothing; what Python, NumPy and unknown distributions draw follows the seed.

    The states of Python and NumPy are put back, that of torch is not.
    """
    numpy = sys.modules.get("numpy")
    python_state, numpy_state = random.getstate(), None if numpy is None else numpy.random.get_state()
    random.seed(seed)
    if numpy is not None:
        numpy.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        with Undrawn():
            yield
    finally:
        random.setstate(python_state)
        if numpy is not None:
            numpy.random.set_state(numpy_state)
