"""Training steps: of a task, of a bare loop over a network, in full precision or under autocast."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

import studygroup as sg
from reproduction.gpu.methods import owners

Losses = Callable[[], Iterable[Tensor]]


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[None]:
    """Autocast to half precision; no effect in full precision."""
    half = dtype in (torch.float16, torch.bfloat16)
    return torch.autocast(device.type, dtype=dtype if half else None, enabled=half)


def updates(losses: Losses, optimiser: Optimizer, device: torch.device, dtype: torch.dtype) -> None:
    """Take every update of a step: forward under autocast, backward, optimiser.

    Args:
        losses: yields the loss of each update; the update is made between two.
        optimiser: over the parameters.
        device: of the parameters.
        dtype: of autocast; `torch.float32` for none.
    """
    found = iter(losses())
    while True:
        with autocast(device, dtype):
            loss = next(found, None)
        if loss is None:
            return
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()


def of_task(
    task: sg.CollaborativeLearning,
    x: Tensor,
    y: Tensor,
    *,
    owner: Tensor | None = None,
    progress: float = 0.5,
) -> Losses:
    """Return the losses of a task's step, one for each update.

    Args:
        task: the task to train.
        x: pictures.
        y: class indices.
        owner: the owner of each row; omitted, that of `owners`.
        progress: share of training that is done.
    """
    whose = owners(task, len(x)) if owner is None else owner
    return lambda: (losses.total for losses in task.steps(x, y, owner=whose, progress=progress))


def of_network(net: nn.Module, x: Tensor, y: Tensor) -> Losses:
    """Return the loss of a bare loop of torch: cross-entropy of one network."""
    return lambda: iter(map(partial(_cross_entropy, net, x), [y]))


def _cross_entropy(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(net(x), y)


def batch(
    rows: int,
    *,
    pixels: int,
    classes: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = True,
) -> tuple[Tensor, Tensor]:
    """Return made-up pictures and class indices, the same on every device."""
    draw = torch.Generator().manual_seed(rows)
    x = torch.randn(rows, 3, pixels, pixels, generator=draw, dtype=torch.float64)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    y = torch.randint(classes, (rows,), generator=draw)
    return x.to(device, dtype, memory_format=layout), y.to(device)


def wait(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
