"""What a method costs in training against the plain network: step time, parameters, memory.

Both are measured on the same images in one process, turn by turn, so that a busy machine slows both alike; the
ratio of two neighbours is taken, then the median of the ratios. One plain step is counted by its two passes as
three units of work (forward one, backward two); each peer consulted on a row adds one forward unit. CGL with two
peers is then at 5/3, on a machine where small modules run as fast per image as large ones.
"""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.optim import Optimizer

from studygroup.analysis.memory import allocated


@dataclass(frozen=True)
class Cost:
    """Cost of a training step of a method and of the plain network on the same images.

    Attributes:
        images: images in the step.
        seconds: median step time of the method (forward, backward and update).
        baseline_seconds: the same of the plain network.
        ratio: median of the step-time ratios, method to plain network.
        spread: lowest and highest of those ratios.
        repeats: how many pairs of steps were timed.
        parameters: trainable numbers in training, what does not ship included.
        baseline_parameters: trainable numbers of the plain network.
        bytes: CPU: what the forward pass keeps for the backward pass; CUDA: peak allocated memory of a step.
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
    """A training step that can be taken again and again.

    Attributes:
        task: whose parameters are trained; they change.
        optimizer: over them.
        losses: runs the forward pass, or one for each of several updates; an update stands between two.
    """

    task: nn.Module
    optimizer: Optimizer
    losses: Callable[[], Iterable[Tensor]]

    def take(self) -> None:
        """Forward, backward, update."""
        for loss in self.losses():
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self.optimizer.step()


def training_cost(method: Step, baseline: Step, *, images: int, repeats: int = 9) -> Cost:
    """Measures two steps in turn.

    Args:
        method: a step of the method; the parameters of both change, so give copies.
        baseline: a step of the plain network on the same images.
        images: how many images that are.
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
    """How many trainable numbers a module has, shared ones counted once."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def peak_bytes(step: Step) -> int:
    """Memory of one step: on CUDA the peak allocated, elsewhere what the first forward keeps, see `saved_bytes`."""
    device = next(step.task.parameters()).device
    if device.type != "cuda":
        kept = saved_bytes(lambda: next(iter(step.losses())), ignore=step.task)
        step.take()
        return kept
    return torch.cuda.memory_allocated(device) + allocated(step.take, device).peak


def saved_bytes(forward: Callable[[], Tensor], *, ignore: nn.Module | None = None) -> int:
    """Bytes that a forward pass keeps for its backward pass, each storage once.

    Args:
        forward: the pass.
        ignore: a module whose parameters and buffers are there anyway and do not count.
    """
    tensors = [*ignore.parameters(), *ignore.buffers()] if ignore is not None else []
    # by the storages themselves, which are one Python object each as long as they live: on meta none has an address
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
    """Seconds that a step takes, waiting for the device before and after."""
    device = next(step.task.parameters()).device
    _wait(device)
    start = time.perf_counter()
    step.take()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
