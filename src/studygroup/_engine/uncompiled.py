"""Code that `torch.compile` leaves to Python; the compiler is imported only where it is at work."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch


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
