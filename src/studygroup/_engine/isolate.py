"""Passes without side effects, and passes that train some parameters alone."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from studygroup._engine.walk import every_module

_depth: ContextVar[int] = ContextVar("studygroup_without_side_effects", default=0)


@contextmanager
def without_side_effects(
    model: nn.Module, *, training: bool | None, seed: int = 0, gradient: bool = False
) -> Iterator[Callable[[], None]]:
    """Restore the model and the random state after the code inside; by default it runs without gradients.

    Batch normalisation in training mode still normalises by the batch, but neither its running statistics nor its
    count of batches move (momentum 0 would still count). Any other buffer that the pass writes to, or assigns anew,
    is put back.

    Args:
        model: the network that answers.
        training: its mode inside: `True` for batch statistics and dropout, `False` for evaluation, `None` for that of
            each module, so that a frozen norm stays one.
        seed: seed of the random state inside (dropout masks); the state outside is untouched.
        gradient: whether the answers have a gradient, where gradients are enabled outside.

    Yields:
        A function that puts buffers back at once, between passes.

    Raises:
        ValueError: a gradient is wanted, and a module that runs otherwise than before would be computed again in the
            backward pass, when all is put back.
    """
    modes = {module: module.training for module in every_module(model)}
    kept = _Buffers(modes)
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    _switch(model, training)
    norms = [norm for norm in _counting(modes) if norm.training]
    for norm in norms:
        norm.track_running_stats = False
    wanted = gradient and torch.is_grad_enabled()
    other = [m for m in modes if m in norms or m.training != modes[m]] if wanted else []
    depth = _depth.get() + 1
    entered = _depth.set(depth)
    hooks = [module.register_forward_pre_hook(partial(_refuse_again, depth)) for module in other]
    # the graph holds what norms in evaluation read, which the next pass may move before the backward pass
    read = [norm for norm in _counting(modes) if not norm.training] if wanted else []
    statistics = [dict(norm._buffers) for norm in read]
    for norm in read:
        norm._buffers.update({name: None if b is None else b.clone() for name, b in norm._buffers.items()})
    try:
        with (
            torch.set_grad_enabled(gradient and torch.is_grad_enabled()),
            torch.random.fork_rng(devices=devices),
        ):
            _seed(seed, devices)
            yield kept.put_back
    finally:
        if not wanted:  # older versions of torch remember weights that autocast has cast without gradient
            torch.clear_autocast_cache()
        _depth.reset(entered)
        for hook in hooks:
            hook.remove()
        for norm, before in zip(read, statistics, strict=True):
            norm._buffers.update(before)
        kept.put_back()
        for norm in norms:
            norm.track_running_stats = True
        for module, mode in modes.items():
            set_mode(module, mode)


def set_mode(module: nn.Module, training: bool) -> None:
    """Set the mode of one module, not that of its parts; assigning takes long where nothing changes."""
    if module.training != training:
        module.training = training


def _counting(modules: Iterable[nn.Module]) -> list[_BatchNorm]:
    """Return the batch norms that keep running statistics."""
    return [module for module in modules if isinstance(module, _BatchNorm) and module.track_running_stats]


def _refuse_again(depth: int, module: nn.Module, args: object) -> None:
    """Refuse what runs without gradient where one is wanted: activation checkpointing, which would run it again.

    A pass without side effects inside of this one, such as a dry run, has none by intention.
    """
    if _depth.get() == depth and not torch.is_grad_enabled():
        raise ValueError(
            f"a {type(module).__name__} of consulted peers is called inside torch.utils.checkpoint with "
            "use_reentrant=True; the backward pass would run it again in another mode, and move its statistics. "
            "Switch activation checkpointing off, or let peers answer in the owners' pass, peers='joint'"
        )


def _switch(model: nn.Module, training: bool | None) -> None:
    """Bring all modules into a mode.

    For evaluation their own `train` methods are not asked: they may merge weights, as adapters do, and the modes
    alone would not part them again. For training they are, as they may keep what is frozen in evaluation.
    """
    if training:
        model.train()
    elif training is False:
        for module in every_module(model):
            set_mode(module, False)


class _Buffers:
    """All buffers of a network but the statistics of batch norms, which are kept from moving."""

    def __init__(self, modules: Collection[nn.Module]) -> None:
        own = {id(buffer) for norm in _counting(modules) for buffer in norm._buffers.values()}
        self._kept = [
            (module, name, buffer, buffer.clone())
            for module in modules
            for name, buffer in module._buffers.items()
            if buffer is not None and id(buffer) not in own
        ]
        self._writes = [_writes(buffer) for _, _, buffer, _ in self._kept]

    def put_back(self) -> None:
        """Put back what was written to or assigned anew."""
        for place, (module, name, buffer, before) in enumerate(self._kept):
            if name in module._buffers:
                module._buffers[name] = buffer
            # a copy where none is needed would count as a write to what the graph has saved
            if self._writes[place] is None or _writes(buffer) != self._writes[place]:
                buffer.detach().copy_(before)
                self._writes[place] = _writes(buffer)


@contextmanager
def dry_training(model: nn.Module, *, training: bool | None = True) -> Iterator[Callable[[], None]]:
    """Train without side effects on few rows: dropout drops, and batch norms use running statistics.

    Args:
        model: the network that answers. A single row has no batch statistics.
        training: `None` to leave all other modules in their modes.

    Yields:
        As `without_side_effects`.
    """
    with without_side_effects(model, training=training) as put_back:
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        yield put_back


@contextmanager
def only_trains(parameters: Iterable[nn.Parameter], chosen: Iterable[nn.Parameter]) -> Iterator[None]:
    """Let the chosen ones alone among a group's parameters keep their `requires_grad` inside.

    A pass made inside leaves the gradients of all others as they are, `None` after `zero_grad`: an optimiser then
    skips them. A zero in that place would still let momentum and weight decay move them.
    """
    stay = {id(parameter) for parameter in chosen}
    asking = [parameter for parameter in parameters if parameter.requires_grad]
    with requiring(asking, [id(parameter) in stay for parameter in asking]):
        yield


@contextmanager
def requiring(parameters: Iterable[nn.Parameter], asked: Iterable[bool]) -> Iterator[None]:
    """Let each parameter require a gradient inside, or not, as it is asked to."""
    there = [(parameter, parameter.requires_grad) for parameter in parameters]
    try:
        for (parameter, _), wanted in zip(there, asked, strict=True):
            parameter.requires_grad_(wanted)
        yield
    finally:
        for parameter, before in there:
            parameter.requires_grad_(before)


def _writes(buffer: Tensor) -> int | None:
    """Return how often a buffer was written to; inference tensors do not count writes."""
    return None if buffer.is_inference() else buffer._version


def _seed(seed: int, devices: list[int]) -> None:
    """Seed only what `fork_rng` restores: `torch.manual_seed` would reach every device."""
    torch.default_generator.manual_seed(seed)
    for device in devices:
        torch.cuda.default_generators[device].manual_seed(seed)
