"""The cost of training with a method compared with the plain network: step time, parameters, memory.

Both are measured on the same images in one process, alternately, so that a busy machine slows both alike; the ratio
of two neighbouring steps is taken, then the median of the ratios. One plain step counts as three units of work (one
forward, two backward); each peer consulted on a row adds one forward unit. CGL with two peers then costs 5/3, on a
machine where small modules run as fast per image as large ones.
"""

import gc
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.optim import Optimizer
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
    """Return what a step allocates on a device while it runs once, and what it leaves.

    The peak of a training step is activations, gradients and the kernels' workspace, without parameters and optimiser
    state that existed before. A forward pass whose loss is kept leaves what the backward pass needs. The resident
    size of the process would include what the allocator keeps in reserve.
    """
    gc.collect()  # else what is left of earlier work may be freed in between, and counts as freed by the step
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        result = step()  # kept until all is counted
        peak = torch.cuda.max_memory_allocated(device) - before
        left = torch.cuda.memory_allocated(device) - before
        del result
        return Allocated(peak, left)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
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


@dataclass(frozen=True)
class Cost:
    """Cost of a training step of a method and of the plain network on the same images.

    Attributes:
        images: images in the step.
        seconds: median step time of the method (forward, backward and update).
        baseline_seconds: the same of the plain network.
        ratio: median of the step-time ratios, method to plain network.
        spread: lowest and highest of those ratios.
        repeats: number of timed pairs of steps.
        parameters: trainable parameters in training, including what does not ship.
        baseline_parameters: trainable parameters of the plain network.
        bytes: on a CPU what the forward pass keeps for the backward pass; on CUDA a step's peak allocated memory.
        baseline_bytes: the same of the plain network.
    """

    images: int
    seconds: float
    baseline_seconds: float
    ratio: float
    spread: tuple[float, float]
    repeats: int
    parameters: int
    baseline_parameters: int
    bytes: int
    baseline_bytes: int


@dataclass(frozen=True)
class Step:
    """A training step that can be repeated.

    Attributes:
        task: the task whose parameters are trained; they change.
        optimizer: the optimiser of these parameters.
        losses: runs the forward pass, or one per update where there are several, each after the update before.
    """

    task: nn.Module
    optimizer: Optimizer
    losses: Callable[[], Iterable[Tensor]]

    def take(self) -> None:
        """Run forward and backward passes and update."""
        for loss in self.losses():
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self.optimizer.step()


def training_cost(method: Step, baseline: Step, *, images: int, repeats: int = 9) -> Cost:
    """Measure two steps alternately.

    Args:
        method: a step of the method; the parameters of both change, so give copies.
        baseline: a step of the plain network on the same images.
        images: number of these images.
        repeats: pairs of steps to time, after one of each to warm up.
    """
    memory = [peak_bytes(step) for step in (method, baseline)]  # these two warm up as well
    pairs = [(_timed(method), _timed(baseline)) for _ in range(repeats)]
    ratios = [own / plain for own, plain in pairs]
    return Cost(
        images=images,
        seconds=statistics.median(own for own, _ in pairs),
        baseline_seconds=statistics.median(plain for _, plain in pairs),
        ratio=statistics.median(ratios),
        spread=(min(ratios), max(ratios)),
        repeats=repeats,
        parameters=parameters(method.task),
        baseline_parameters=parameters(baseline.task),
        bytes=memory[0],
        baseline_bytes=memory[1],
    )


def parameters(module: nn.Module) -> int:
    """Return the number of trainable parameters of a module, shared ones counted once."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def peak_bytes(step: Step) -> int:
    """Return the memory of a step: on CUDA its peak, elsewhere what the first forward keeps, see `saved_bytes`."""
    device = next(step.task.parameters()).device
    if device.type != "cuda":
        kept = saved_bytes(lambda: next(iter(step.losses())), ignore=step.task)
        step.take()
        return kept
    return torch.cuda.memory_allocated(device) + allocated(step.take, device).peak


def saved_bytes(forward: Callable[[], Tensor], *, ignore: nn.Module | None = None) -> int:
    """Return the bytes that a forward pass keeps for its backward pass, each storage counted once.

    Args:
        forward: the pass.
        ignore: a module whose parameters and buffers exist anyway and do not count.
    """
    tensors = [*ignore.parameters(), *ignore.buffers()] if ignore is not None else []
    # keyed by storage, one Python object each as long as it lives: on the meta device none has an address
    known = {id(storage): storage for storage in (tensor.untyped_storage() for tensor in tensors)}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if id(storage) not in known:
            kept[id(storage)] = storage
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = forward()
    del loss
    return sum(storage.nbytes() for storage in kept.values())


def _timed(step: Step) -> float:
    """Return the seconds that a step takes, waiting for the device before and after."""
    device = next(step.task.parameters()).device
    _wait(device)
    start = time.perf_counter()
    step.take()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
