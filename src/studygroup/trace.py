"""A forward pass that leaves no trace: no gradient, no running statistics, no draw from the random state."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def traceless(model: nn.Module, *, training: bool, seed: int = 0) -> Iterator[None]:
    """Runs what is inside without a gradient and leaves the model and the random state as they were.

    Batch normalisation still normalises by the batch where `training` is true, but neither its running
    statistics nor its count of batches move (momentum 0 would still count). Any other buffer that the pass
    writes to is put back.

    Args:
        model: the network that answers.
        training: its mode inside: `True` for batch statistics and dropout, `False` for evaluation.
        seed: seed of the random state inside (dropout masks); the state outside is untouched.
    """
    modes = {module: module.training for module in model.modules()}
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    own = {id(buffer) for norm in norms for buffer in norm.buffers()}
    kept = [(b, b.clone()) for b in model.buffers() if training and id(b) not in own]
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    model.train(training)
    for norm in norms if training else ():
        norm.track_running_stats = False
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            _seed(seed, devices)
            yield
            for buffer, before in kept:
                buffer.copy_(before)
    finally:
        for norm in norms:
            norm.track_running_stats = True
        for module, mode in modes.items():
            module.training = mode


def _seed(seed: int, devices: list[int]) -> None:
    """Seeds only what `fork_rng` puts back: `torch.manual_seed` would reach every device."""
    torch.default_generator.manual_seed(seed)
    for device in devices:
        torch.cuda.default_generators[device].manual_seed(seed)
