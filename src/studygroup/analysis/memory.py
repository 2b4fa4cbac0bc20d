"""What a step keeps alive at its peak, from the allocator's own events: on a CPU, too, where nobody counts."""

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile


def peak_allocated(step: Callable[[], object], device: torch.device) -> int:
    """The most bytes that a step has allocated at once, beyond what was there before it.

    Activations, gradients, and what the kernels need while they run; not parameters and optimiser state, if the step
    was taken before. Resident size would add what the allocator keeps in reserve.

    Args:
        step: what to run once; take it once before, so that the optimiser has its state.
        device: where it allocates.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    assert profiler.profiler is not None
    assert profiler.profiler.kineto_results is not None
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    alive = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        alive += event.nbytes()  # negative where memory is freed
        peak = max(peak, alive)
    return peak
