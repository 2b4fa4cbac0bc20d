"""The checks of every recipe on a small network: exact, without waiting, sound in half precision."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from reproduction.gpu import exactness
from reproduction.gpu.budget import Clock, work_through
from reproduction.gpu.methods import METHODS
from reproduction.gpu.network import small
from reproduction.gpu.waiting import waits

CPU = torch.device("cpu")


def check(
    methods: Iterable[str], device: torch.device, clock: Clock, write: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Check recipes one after another.

    Args:
        methods: names of `METHODS`.
        device: compared with the CPU.
        clock: of this phase.
        write: is given the part so far.

    Returns:
        The part of the result: `results` by recipe, and `failed`, the names of those with a check that failed.
    """

    def written(part: dict[str, Any]) -> None:
        write(part | {"failed": _failed(part)})

    part = work_through({name: partial(recipe, name, device) for name in methods}, clock, written)
    return part | {"failed": _failed(part)}


def recipe(name: str, device: torch.device) -> dict[str, Any]:
    """Check one recipe.

    Args:
        name: of `METHODS`.
        device: compared with the CPU. The CPU's pictures are contiguous, the device's `channels_last`, so that a
            dry run on the CPU compares two ways of computing, too.
    """
    with _full_precision():
        torch.manual_seed(0)
        task = METHODS[name](small())
        results: dict[str, Any] = {}
        for dtype, limit in exactness.EXACT.items():
            expected = exactness.second_step(task, CPU, dtype, channels_last=False)
            found = exactness.second_step(task, device, dtype)
            results[_word(dtype)] = exactness.same(found, expected, limit)
        single = exactness.second_step(task, device)
        for half in exactness.CLOSE:
            found = exactness.second_step(task, device, half=half)
            results[_word(half)] = exactness.close(found, single, half)
    for dtype in (torch.float32, torch.bfloat16):
        usual = METHODS[name](small(nn.Dropout)).to(device)  # whose masks are drawn on the device
        results[f"waits_{_word(dtype)}"] = waits(usual, device, dtype)
    passed = [result["passed"] for result in results.values() if "passed" in result]
    return results | {"passed": all(passed)}


def _failed(part: dict[str, Any]) -> list[str]:
    return [name for name, result in part["results"].items() if not result.get("passed", False)]


@contextmanager
def _full_precision() -> Iterator[None]:
    """Inside, float32 is float32 in convolutions and matrix products, and not TF32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
