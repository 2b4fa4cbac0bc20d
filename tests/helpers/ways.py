"""A small convolutional network in the forms that ways to train ask for, and every recipe on it."""

import copy
import functools
import math

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import studygroup as sg
from helpers.networks import CLASSES, Case, images
from recipes.test_matrix import RECIPES

ROWS = 8
WIDTH = 16
Stepped = tuple[sg.Losses, dict[str, Tensor]]


class Block(nn.Module):
    """A residual block.

    Attributes:
        recompute: how its activations are computed again in the backward pass: not at all (`""`), inside `forward`
            (`"saved"`, `"reentrant"`), or around the call (`"around"`, `"around reentrant"`), so that its own hooks
            run inside.
    """

    def __init__(self, stride: int, norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(WIDTH, WIDTH, 3, stride=stride, padding=1, bias=not norm)
        self.norm = nn.BatchNorm2d(WIDTH) if norm else nn.Identity()
        self.act, self.drop, self.pool = nn.ReLU(), nn.Dropout(0.0), nn.AvgPool2d(stride)
        self.recompute = ""
        self.calls = 0

    def __call__(self, x: Tensor) -> Tensor:
        if self.recompute.startswith("around") and torch.is_grad_enabled():
            return checkpoint(super().__call__, x, use_reentrant="reentrant" in self.recompute)
        return super().__call__(x)

    def forward(self, x: Tensor) -> Tensor:
        if self.recompute in ("saved", "reentrant") and torch.is_grad_enabled():
            return checkpoint(self.run, x, use_reentrant=self.recompute == "reentrant")
        return self.run(x)

    def run(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.drop(self.act(self.norm(self.conv(x)) + self.pool(x)))


class Net(nn.Module):
    """Convolutions of as many channels as every kernel takes, with or without batch norm; dropout keeps all."""

    def __init__(self, norm: bool = True) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.layer1, self.layer2 = Block(1, norm), Block(2, norm)
        self.fc = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layer2(self.layer1(self.stem(x))).mean((2, 3)))


def case(norm: bool = True, dtype: torch.dtype = torch.float32) -> Case:
    return Case(
        lambda: Net(norm).to(dtype),
        lambda rows: images(4)(rows).to(dtype),
        ("stem", "layer1", "layer2"),
        ("layer2", "fc"),
    )


@functools.cache
def _built(name: str, norm: bool, dtype: torch.dtype) -> sg.CollaborativeLearning:
    """A task that has seen inputs of its sort, so that copies of it have no dry run of their own."""
    torch.manual_seed(0)
    task = RECIPES[name](case(norm, dtype)).to(dtype).train()
    before = copy.deepcopy(task.state_dict())
    with torch.no_grad():
        task(*batch(dtype=dtype), owner=owners(task))
    task.load_state_dict(before)
    return task


def build(name: str, *, norm: bool = True, dtype: torch.dtype = torch.float32) -> sg.CollaborativeLearning:
    """A recipe on the network, as it was built once: the same weights each time."""
    return copy.deepcopy(_built(name, norm, dtype))


def batch(number: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(number)
    return torch.randn(ROWS, 3, 4, 4, generator=draw).to(dtype), torch.arange(ROWS) % CLASSES


def owners(task: sg.CollaborativeLearning, rows: int = ROWS) -> Tensor | None:
    return torch.arange(rows) % task.group.students if isinstance(task.rows, sg.Subsets) else None


def losses(task: sg.CollaborativeLearning, x: Tensor, y: Tensor, *, seed: int = 0) -> sg.Losses:
    """A pass in which every objective has weight."""
    torch.manual_seed(seed)
    return task(x, y, owner=owners(task, len(y)), progress=0.5)


@functools.cache
def plain(name: str, *, norm: bool = True, dtype: torch.dtype = torch.float32) -> Stepped:
    """The losses and gradients of its first step in the plain way."""
    return stepped(build(name, norm=norm, dtype=dtype))


def stepped(task: sg.CollaborativeLearning) -> Stepped:
    """The losses of a pass, and what gradients there are after it."""
    found = losses(task, *batch(dtype=trained(task)[0].dtype))
    found.total.backward()
    return found, gradients(task)


def gradients(task: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in task.named_parameters() if p.grad is not None}


def trained(task: nn.Module) -> list[nn.Parameter]:
    return [p for p in task.parameters() if p.requires_grad]


def averages(task: sg.CollaborativeLearning) -> list[sg.teachers.Averages]:
    """The moving averages among a task's groups."""
    return [one for one in task.sources if isinstance(one, sg.teachers.Averages)]


def learn(task: sg.CollaborativeLearning, optimiser: torch.optim.Optimizer, number: int = 0) -> None:
    """One update."""
    optimiser.zero_grad()
    losses(task, *batch(number, trained(task)[0].dtype), seed=number).total.backward()
    optimiser.step()


def norm_of(values: dict[str, Tensor]) -> float:
    """The Euclidean norm of all."""
    return math.sqrt(sum(value.double().square().sum().item() for value in values.values()))


def distance(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """How far gradients are from others, over the length of those."""
    assert found.keys() == expected.keys()
    apart = {key: found[key].double() - expected[key].double() for key in expected}
    return norm_of(apart) / norm_of(expected)


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], **close: float) -> None:
    """The same names, and the same numbers."""
    assert found.keys() == expected.keys()
    assert expected
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, **close, msg=lambda said, name=name: f"{name}: {said}")
