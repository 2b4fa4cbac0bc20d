"""What the property tests draw: networks, tables, batches, owners; and a student's answers alone."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import studygroup as sg

FEW = settings(
    max_examples=8,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
MANY = settings(FEW, max_examples=1500)
WIDTH, LAYERS = 3, ("0", "2", "4")
IGNORED = pytest.mark.filterwarnings("ignore")  # students that are drawn equal, or share a head


def net(classes: int, width: int = 4) -> nn.Module:
    return nn.Sequential(
        nn.Linear(WIDTH, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, classes)
    ).double()


@st.composite
def tables(draw: st.DrawFn, students: int | None = None) -> sg.Routes:
    """Any table of one to four students over some of the layers; students may meet again, and modules idle."""
    students = students or draw(st.integers(1, 4))
    layers = draw(st.lists(st.sampled_from(LAYERS), min_size=1, max_size=3, unique=True).map(sorted))
    rows = [draw(st.lists(st.integers(0, 2), min_size=students, max_size=students)) for _ in layers]
    idle = draw(st.integers(0, 1))
    return sg.Routes(tuple(layers), tuple(map(tuple, rows)), tuple(max(row) + 1 + idle for row in rows))


@dataclass(frozen=True)
class Batch:
    """Rows, labels, and which student sees or owns which row."""

    x: Tensor
    y: Tensor
    classes: int
    sees: Tensor
    owner: list[int] | None


@st.composite
def batches(draw: st.DrawFn, students: int, least: int = 1) -> Batch:
    rows, classes = draw(st.integers(least, 5)), draw(st.integers(2, 5))
    numbers = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    x = 2 * torch.randn(rows, WIDTH, dtype=torch.float64, generator=numbers)
    y = torch.tensor(draw(st.lists(st.integers(0, classes - 1), min_size=rows, max_size=rows)))
    seen = draw(st.lists(st.booleans(), min_size=students * rows, max_size=students * rows).filter(any))
    owners = st.lists(st.integers(0, students - 1), min_size=rows, max_size=rows)
    return Batch(x, y, classes, torch.tensor(seen).view(students, rows), draw(st.none() | owners))


def alone(group: sg.Group, student: int, x: Tensor, until: int | None = None) -> Tensor:
    """A student's answers as its export gives them, row by row, by the group's own parameters.

    With `until`, what its first so many layers give.
    """
    network = group.export(student)
    own = dict(zip(dict(network.named_parameters()), group.parameters_of(student), strict=True))
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, own[name])
    part = network if until is None else network[:until]
    own = {name: own[name] for name, _ in part.named_parameters()}
    return torch.stack([torch.func.functional_call(part, own, row[None])[0] for row in x])
