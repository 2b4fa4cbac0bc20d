"""Code that `torch.compile` leaves to Python; the compiler is imported only where it is at work."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def uncompiled(function: Callable[P, R]) -> Callable[P, R]:
    """Keep a function, and all that it calls, out of the graphs of `torch.compile`."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.compiler.is_compiling():
            found: R = torch.compiler.disable(function)(*args, **kwargs)  # type: ignore[no-untyped-call]
            return found
        return function(*args, **kwargs)

    return run


@contextmanager
def each_length_by_itself() -> Iterator[None]:
    """Let what is compiled inside hold for any numbers of rows: two that are equal by chance need not stay so.

    Nor is code chosen by how many there are now, as that for a CPU would be where sums have more than 4096 terms.
    """
    from torch.fx.experimental import _config

    wanted = {"use_duck_shape": False, "backed_size_oblivious": True}  # torch 2.6 lacks the second
    known = {name: value for name, value in wanted.items() if hasattr(_config, name)}
    with _config.patch(known):  # type: ignore[attr-defined]
        yield


@contextmanager
def as_written() -> Iterator[None]:
    """Run compiled parts of a network as they are written; there are none while nobody has loaded the compiler."""
    with torch.compiler.set_stance("force_eager") if compiler_loaded() else nullcontext():
        yield


def compiler_loaded() -> bool:
    """Tell whether anybody has loaded the compiler."""
    return "torch._dynamo" in sys.modules
