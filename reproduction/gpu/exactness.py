"""Compare a recipe's loss and gradients on a device with those on the CPU, in full and in half precision."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import studygroup as sg
from reproduction.gpu.step import autocast, batch, of_task

EXACT = {torch.float32: 1e-3, torch.float64: 1e-8}
"""Maximum relative difference of a loss, a gradient or a statistic between devices of the same precision."""
CLOSE = {torch.bfloat16: (0.02, 0.15), torch.float16: (0.005, 0.05)}
"""Maximum relative differences from float32: of the loss, and of all gradients together."""
_ROWS, _PIXELS, _FLOOR = 16, 16, 1e-3


@dataclass(frozen=True)
class Outcome:
    """The results of a task's second step, on the CPU in double precision.

    Attributes:
        loss: the sum over the step's updates.
        tensors: gradients, then running statistics and the like, by name.
    """

    loss: float
    tensors: dict[str, Tensor]


def second_step(
    task: sg.CollaborativeLearning,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    *,
    half: torch.dtype | None = None,
    channels_last: bool = True,
) -> Outcome:
    """Take two steps of a copy without an update, and return the results of the second.

    The second, because some recipes measure something in the first. The task, on the CPU and in single precision, is
    left unchanged. `half` is the precision of autocast, omitted where there is none, with loss scaling for
    `torch.float16`; `channels_last` is the memory format of pictures and kernels.
    """
    layout = torch.channels_last if channels_last else torch.contiguous_format
    own = copy.deepcopy(task).to(device, dtype).to(memory_format=layout).train()
    x, y = batch(_ROWS, pixels=_PIXELS, classes=10, device=device, dtype=dtype, channels_last=channels_last)
    learning = [p for p in own.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(learning, lr=0.0)
    total = torch.zeros((), dtype=torch.float64)
    for step in range(2):
        # a new one for each: it unscales once between two updates
        scaler = torch.amp.GradScaler(device.type, init_scale=1024.0, enabled=half == torch.float16)
        torch.manual_seed(step)
        own.zero_grad()
        total = torch.zeros((), dtype=torch.float64)
        losses = iter(of_task(own, x, y)())
        while True:
            with autocast(device, half or dtype):
                loss = next(losses, None)
            if loss is None:
                break
            torch.autograd.backward(scaler.scale(loss))
            total = total + loss.detach().cpu().double()
        scaler.unscale_(optimiser)
    found = {name: p.grad for name, p in own.named_parameters() if p.grad is not None}
    found |= {name: buffer for name, buffer in own.named_buffers() if buffer.is_floating_point()}
    return Outcome(float(total), {name: t.detach().cpu().double() for name, t in found.items()})


def same(found: Outcome, expected: Outcome, limit: float) -> dict[str, Any]:
    """Compare two outcomes of one precision, the device's with the CPU's, tensor by tensor.

    A tensor's difference, at most `limit`, is relative to its own size, or to a thousandth of all together if that is
    larger: what is 0 up to rounding says nothing.
    """
    loss = abs(found.loss - expected.loss) / max(abs(expected.loss), 1e-12)
    missing = sorted(found.tensors.keys() ^ expected.tensors.keys())
    floor = _FLOOR * _norm(list(expected.tensors.values()))
    differences = {
        name: _norm([found.tensors[name] - tensor]) / max(_norm([tensor]), floor, 1e-30)
        for name, tensor in expected.tensors.items()
        if name in found.tensors
    }
    worst = max(differences, key=lambda name: _order(differences[name]), default="")
    largest = differences.get(worst, float("inf"))
    return {
        "loss_difference": loss,
        "largest_difference": largest,
        "where": worst,
        "tensors": len(differences),
        "missing": missing,
        "limit": limit,
        "passed": loss <= limit and largest <= limit and not missing,
    }


def close(found: Outcome, expected: Outcome, half: torch.dtype) -> dict[str, Any]:
    """Compare an outcome under autocast with one in single precision, all gradients together."""
    of_loss, of_gradient = CLOSE[half]
    names = expected.tensors.keys() & found.tensors.keys()
    apart = _norm([found.tensors[name] - expected.tensors[name] for name in sorted(names)])
    gradient = apart / max(_norm([expected.tensors[name] for name in sorted(names)]), 1e-30)
    loss = abs(found.loss - expected.loss) / max(abs(expected.loss), 1e-12)
    finite = all(bool(t.isfinite().all()) for t in found.tensors.values()) and found.loss == found.loss
    return {
        "loss_difference": loss,
        "gradient_difference": gradient,
        "limits": [of_loss, of_gradient],
        "finite": finite,
        "passed": finite and loss <= of_loss and gradient <= of_gradient,
    }


def _norm(tensors: list[Tensor]) -> float:
    return float(torch.stack([t.square().sum() for t in tensors]).sum().sqrt()) if tensors else 0.0


def _order(value: float) -> float:
    """Sort NaN last."""
    return value if value == value else float("inf")
