"""Whether every parameter needs a gradient in every step, because other processes wait for it."""

import torch.distributed as dist


def every_parameter_needs_a_gradient() -> bool:
    """Tell whether parameters that no row reaches must get a zero gradient.

    So it is where several processes exchange gradients: a student without rows here may have rows on another rank,
    and what has left the graph would stop, or part, the exchange.
    `DistributedDataParallel(find_unused_parameters=True)` looks for such parameters itself and leaves alone
    those that no rank has used.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return False
    # imported here, as it imports half of torch
    from torch.nn.parallel import DistributedDataParallel

    active = getattr(DistributedDataParallel, "_get_active_ddp_module", lambda: None)()
    return active is None or not active.find_unused_parameters
