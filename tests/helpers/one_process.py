"""What DistributedDataParallel sends, seen in one process."""

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def squares_sent(task: nn.Module, x: torch.Tensor, folder) -> torch.Tensor:
    """Two backward passes of a task's loss under DistributedDataParallel; the second's gradients stay in the task.

    Returns:
        The sum of squares of all gradients that the second sent, at the moment when they were sent.
    """
    store = torch.distributed.FileStore(str(folder / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        wrapped = DistributedDataParallel(task)
        sent = []

        def note(_, bucket):
            sent.append(sum(g.square().sum() for g in bucket.gradients()))
            future = torch.futures.Future()
            future.set_result(bucket.buffer())
            return future

        wrapped.register_comm_hook(None, note)
        for _ in range(2):
            wrapped.zero_grad()
            sent.clear()
            wrapped(x).backward()
    finally:
        torch.distributed.destroy_process_group()
    return sum(sent)
