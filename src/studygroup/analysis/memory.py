"""Memory that a step allocates, from the allocator's own events: on a CPU, too, where torch does not count it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile


@dataclass(frozen=True)
class Allocated:
    """Bytes that something allocated beyond what was there before.

    Attributes:
        peak: the most at once.
        left: bytes still allocated at its end.
    """

    peak: int
    left: int


def allocated(step: Callable[[], object], device: torch.device) -> Allocated:
    """Return what a step allocates while it runs, and what it leaves.

    The peak of a training step is activations, gradients and the kernels' workspace, without parameters and optimiser
    state that existed before. A forward pass whose loss is kept leaves what the backward pass needs. The resident
    size of the process would include what the allocator keeps in reserve.

    Args:
        step: what to run once.
        device: where it allocates.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        result = step()  # kept until all is counted
        peak = torch.cuda.max_memory_allocated(device) - before
        left = torch.cuda.memory_allocated(device) - before
        del result
        return Allocated(peak, left)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = step()
    assert profiler.profiler is not None
    assert profiler.profiler.kineto_results is not None
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    del result
    left = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        left += event.nbytes()  # negative where memory is freed
        peak = max(peak, left)
    return Allocated(peak, left)
