"""Passes without side effects, and passes that train some parameters alone."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def without_side_effects(
    model: nn.Module, *, training: bool, seed: int = 0, gradient: bool = False
) -> Iterator[None]:
    """Restore the model and the random state after the code inside; by default it runs without gradients.

    Batch normalisation still normalises by the batch where `training` is true, but neither its running
    statistics nor its count of batches move (momentum 0 would still count). Any other buffer that the pass
    writes to, or assigns anew, is put back.

    Args:
        model: the network that answers.
        training: its mode inside: `True` for batch statistics and dropout, `False` for evaluation.
        seed: seed of the random state inside (dropout masks); the state outside is untouched.
        gradient: whether the answers have a gradient, where gradients are enabled outside.
    """
    modes = {module: module.training for module in model.modules()}
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    own = {id(buffer) for norm in norms for buffer in norm.buffers()}
    kept = [
        (module, name, buffer, buffer.clone(), _writes(buffer))
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if id(buffer) not in own
    ]
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    model.train(training)
    for norm in norms if training else ():
        norm.track_running_stats = False
    try:
        with (
            torch.set_grad_enabled(gradient and torch.is_grad_enabled()),
            torch.random.fork_rng(devices=devices),
        ):
            _seed(seed, devices)
            yield
    finally:
        for module, name, buffer, before, writes in kept:
            if name in module._buffers:
                module._buffers[name] = buffer
            # a copy where none is needed would count as a write to what the graph has saved
            if writes is None or _writes(buffer) != writes:
                buffer.detach().copy_(before)
        for norm in norms:
            norm.track_running_stats = True
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def dry_training(model: nn.Module) -> Iterator[None]:
    """Train without side effects on few rows: dropout drops, and batch norms use running statistics.

    Args:
        model: the network that answers. A single row has no batch statistics.
    """
    with without_side_effects(model, training=True):
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        yield


@contextmanager
def only_trains(parameters: Iterable[nn.Parameter], chosen: Iterable[nn.Parameter]) -> Iterator[None]:
    """Let only the chosen ones among some parameters require a gradient inside.

    A pass made inside leaves the gradients of all others as they are, `None` after `zero_grad`: an optimiser then
    skips them. A zero in that place would still let momentum and weight decay move them.

    Args:
        parameters: the parameters of the whole group.
        chosen: the parameters that keep their `requires_grad`.
    """
    stay = {id(parameter) for parameter in chosen}
    others = [p for p in parameters if p.requires_grad and id(p) not in stay]
    try:
        for parameter in others:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)


def _writes(buffer: Tensor) -> int | None:
    """Return how often a buffer was written to; inference tensors do not count writes."""
    return None if buffer.is_inference() else buffer._version


def _seed(seed: int, devices: list[int]) -> None:
    """Seed only what `fork_rng` restores: `torch.manual_seed` would reach every device."""
    torch.default_generator.manual_seed(seed)
    for device in devices:
        torch.cuda.default_generators[device].manual_seed(seed)
