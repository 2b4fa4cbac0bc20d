"""Batch normalisation by the rows of all processes, for any module that calls `F.batch_norm`, on any device."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from studygroup._engine.ranks import over_ranks, place

_whole: ContextVar[bool] = ContextVar("studygroup_whole_norms", default=False)


def norms_are_whole() -> bool:
    """Tell whether batch statistics are those of all processes: each then calls every norm, without rows too."""
    return _whole.get()


def check_passes_of_all(passes: bool) -> None:
    """Refuse batch statistics of all processes where one of them may leave a pass out.

    Args:
        passes: whether all make the same ones.

    Raises:
        ValueError: they do not, within `whole_norms`.
    """
    if norms_are_whole() and not passes:
        raise ValueError(
            "peers answer in a second pass, which a process whose students consult nobody leaves out, and batch "
            "statistics over all processes wait for it; build the task with peers='joint', or 'eval'"
        )


@contextmanager
def whole_norms() -> Iterator[None]:
    """Within the context, take batch statistics over the rows of all processes.

    No module is replaced, so that what is exported has the user's own norms. All processes must make the same passes.
    """
    if place().ranks == 1:
        yield
        return
    token = _whole.set(True)
    try:
        with _Mode():
            yield
    finally:
        _whole.reset(token)


class _Mode(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if func is F.batch_norm:
            return _batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise as `F.batch_norm`, in training by the rows of all processes; a process may have none."""
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    axes, shape = [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2))
    here = wide.new_full((1,), x.numel() // x.shape[1])
    sums = _Sum.apply(torch.cat([wide.sum(axes), here]))
    number = sums[-1].detach()
    mean = sums[:-1] / number.clamp(min=1)
    apart = wide - mean.view(shape)
    variance = _Sum.apply(apart.square().sum(axes)) / number.clamp(min=1)
    with torch.no_grad():
        for running, found in (
            (running_mean, mean),
            (running_var, variance * number / (number - 1).clamp(min=1)),
        ):
            if running is not None:
                running.lerp_(found.to(running), (number > 0).to(running) * momentum)
    result: Tensor = apart * (variance + eps).rsqrt().view(shape)
    for scale, add in ((weight, False), (bias, True)):
        if scale is not None:
            result = result + scale.view(shape) if add else result * scale.view(shape)
    return result.to(x.dtype)


class _Sum(torch.autograd.Function):
    """The sum over processes, whose gradient is the sum of all processes' gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return over_ranks(values, "sum")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        result = gradient.contiguous().clone()
        dist.all_reduce(result)
        return result
