"""Several processes that train one task: which of them this is, what they sum, and what they wait for."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor


class Place(NamedTuple):
    """One of several processes.

    Attributes:
        rank: its number, from 0.
        ranks: how many there are.
    """

    rank: int
    ranks: int


_alone: ContextVar[bool] = ContextVar("studygroup_alone", default=False)


@contextmanager
def alone() -> Iterator[None]:
    """Within the context, this process is the only one, whatever others there are: they train something else."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def place() -> Place:
    """Return which process this is by `torch.distributed`; the only one where that is not in use."""
    if _alone.get() or not (dist.is_available() and dist.is_initialized()):
        return Place(0, 1)
    return Place(dist.get_rank(), dist.get_world_size())


def several() -> bool:
    """Tell whether there are other processes."""
    return place().ranks > 1


def of_this_process() -> tuple[str, ...]:
    """Return what names this process in the path of a draw for its own rows alone; nothing for the first."""
    rank, _ = place()
    return (f"rank {rank}",) if rank else ()


def over_ranks(values: Shaped[Tensor, "*shape"], how: str = "mean") -> Shaped[Tensor, "*shape"]:
    """Return the mean, sum or maximum of numbers over all processes; all call it, in the same order.

    Args:
        values: a tensor of one shape on all of them; it stays as it is.
        how: `"mean"`, `"sum"` or `"max"`.
    """
    ranks = place().ranks
    if ranks == 1:
        return values
    result = values.clone()
    dist.all_reduce(result, op=dist.ReduceOp.MAX if how == "max" else dist.ReduceOp.SUM)
    return result / ranks if how == "mean" else result


def exchanging() -> bool:
    """Tell whether several processes are inside the forward pass of one `DistributedDataParallel`."""
    return place().ranks > 1 and _active() is not None


def every_parameter_needs_a_gradient() -> bool:
    """Tell whether parameters that no row reaches must get a zero gradient.

    So it is where several processes exchange gradients: a student without rows here may have rows on another rank,
    and what has left the graph would stop, or part, the exchange.
    `DistributedDataParallel(find_unused_parameters=True)` looks for such parameters itself and leaves alone
    those that no rank has used.
    """
    if place().ranks == 1:
        return False
    active = _active()
    return active is None or not active.find_unused_parameters


def _active() -> "torch.nn.parallel.DistributedDataParallel | None":
    # imported here, as it imports half of torch
    from torch.nn.parallel import DistributedDataParallel

    found: DistributedDataParallel | None
    found = getattr(DistributedDataParallel, "_get_active_ddp_module", lambda: None)()
    return found
