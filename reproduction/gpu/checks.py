"""Check every recipe on a small network: exactness, waits for the device, half precision."""

import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

import studygroup as sg
from reproduction.gpu import exactness
from reproduction.gpu.budget import Clock, work_through
from reproduction.gpu.methods import METHODS
from reproduction.gpu.network import small
from reproduction.gpu.step import batch, of_task, updates

CPU = torch.device("cpu")


def check(
    methods: Iterable[str], device: torch.device, clock: Clock, write: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Check recipes of `METHODS` one after another, a device against the CPU; `write` is given the part so far.

    Returns:
        The part of the result: `results` by recipe, and `failed`, the names of those with a check that failed.
    """

    def written(part: dict[str, Any]) -> None:
        write(part | {"failed": _failed(part)})

    part = work_through({name: partial(recipe, name, device) for name in methods}, clock, written)
    return part | {"failed": _failed(part)}


def recipe(name: str, device: torch.device) -> dict[str, Any]:
    """Check one recipe of `METHODS`, a device against the CPU.

    The CPU's pictures are contiguous, the device's `channels_last`, so that a dry run on the CPU compares two ways of
    computing, too.
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
    """Use float32 rather than TF32 in convolutions and matrix products."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


_PACKAGE = str(Path(sg.__file__).parent)
_MOST = 20  # places that are reported
_WORDS = "called a synchronizing CUDA operation"


def waits(task: sg.CollaborativeLearning, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Take steps with `torch.cuda.set_sync_debug_mode("error")`, and name the places where one waits.

    Two steps come first, in which tables are made and kernels chosen; then three, because subgroups are drawn anew in
    each step. The task is trained. Nothing is checked on devices other than CUDA; `torch.float32` is no autocast.
    """
    if device.type != "cuda":
        return {"skipped": f"{device.type} has nothing to wait for"}
    x, y = batch(16, pixels=16, classes=10, device=device)
    task.to(memory_format=torch.channels_last).train()
    learning = [p for p in task.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(learning, lr=0.01, momentum=0.9)
    losses = of_task(task, x, y)

    def step() -> None:
        updates(losses, optimiser, device, dtype)

    for _ in range(2):
        step()
    torch.cuda.synchronize(device)
    return found_waiting(step, times=3)


def found_waiting(step: Callable[[], None], *, times: int) -> dict[str, Any]:
    """Take steps, which may differ, so many times where waiting is an error; if one waits, another counts where.

    Returns:
        Whether it `passed`; if not, the `first` place inside the library and `all` places with their counts.

    Raises:
        RuntimeError: the step fails for another reason.
    """
    try:
        with _mode("error"):
            for _ in range(times):
                step()
    except RuntimeError as error:
        if _WORDS not in str(error):
            raise
        frames = traceback.extract_tb(error.__traceback__)
        own = [f"{frame.filename}:{frame.lineno}" for frame in frames if frame.filename.startswith(_PACKAGE)]
        first = own[-1].removeprefix(f"{_PACKAGE}/") if own else "backward pass or optimiser"
        return {"passed": False, "first": first, "all": _places(step)}
    return {"passed": True}


def _places(step: Callable[[], None]) -> dict[str, int]:
    """Count the waits of one step by file and line; those of a backward pass are at its call."""
    with _mode("warn"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        step()
    found: dict[str, int] = {}
    for warning in caught:
        if _WORDS in str(warning.message):
            place = f"{warning.filename}:{warning.lineno}".removeprefix(f"{_PACKAGE}/")
            found[place] = found.get(place, 0) + 1
    return dict(list(found.items())[:_MOST])


@contextmanager
def _mode(mode: str) -> Iterator[None]:
    torch.cuda.set_sync_debug_mode(mode)
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
