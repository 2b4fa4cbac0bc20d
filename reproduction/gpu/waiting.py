"""Whether a training step makes the host wait for the device, and where."""

import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import studygroup as sg
from reproduction.gpu.step import batch, of_task, updates

_PACKAGE = str(Path(sg.__file__).parent)
_MOST = 20  # places that are told
_WORDS = "called a synchronizing CUDA operation"


def waits(task: sg.CollaborativeLearning, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Take steps with `torch.cuda.set_sync_debug_mode("error")`, and name the places where one waits.

    Two steps come before, in which tables are made and kernels chosen; then three, as sub-groups are drawn anew each
    step.

    Args:
        task: on the device; it is trained.
        device: a CUDA one; elsewhere nothing is checked.
        dtype: of autocast; `torch.float32` for none.
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
    """Take a step so many times where waiting is an error, and once more to count where it waits, if it does.

    Args:
        step: what to take.
        times: as what it does may differ from step to step.

    Returns:
        Whether it `passed`; if not, the `first` place inside the library and `all` places with their counts.

    Raises:
        RuntimeError: another error of the step's.
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
    """Count by file and line the waits of one step; those of a backward pass stand where it was called."""
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
