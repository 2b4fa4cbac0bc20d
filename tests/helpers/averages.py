"""Two students of a small network, their moving averages, and the averages' definition as a loop."""

import torch
from torch import nn

import studygroup as sg
from studygroup.objectives import Imitation, Supervised
from studygroup.teachers import Averages, MeanOfOthers

CLASSES, ROWS, STUDENTS = 3, 8, 2


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, CLASSES))


def batch(number: int = 0, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(number)
    return torch.randn(ROWS, 4, generator=draw).to(dtype), torch.randint(CLASSES, (ROWS,), generator=draw)


def students(build=net, dtype: torch.dtype = torch.float64) -> sg.StudyGroup:
    torch.manual_seed(0)
    return sg.StudyGroup(build(), sg.routes.branches(["2"], students=STUDENTS), init=build).to(dtype)


def taught(decay: float = 0.6, **options) -> sg.CollaborativeLearning:
    """Students who imitate each other's averages, which ship."""
    averages = Averages(group := students(**options), decay=decay)
    imitation = Imitation(MeanOfOthers(of=averages))
    return sg.CollaborativeLearning(group, [Supervised(), imitation], exports=averages)


def trained(task: sg.CollaborativeLearning) -> list[nn.Parameter]:
    return [parameter for parameter in task.parameters() if parameter.requires_grad]


def weights(group: sg.Group) -> list[torch.Tensor]:
    return [parameter.detach().double().clone() for parameter in group.parameters()]


class Followed:
    """The definition as a loop: θ̄ ← φ θ̄ + (1−φ) θ, φ = min(1 − 1/g, decay), g the number of weights taken in."""

    def __init__(self, group: sg.Group, decay: float) -> None:
        self.group, self.decay, self.taken, self.mean = group, decay, 1, weights(group)

    def take(self) -> None:
        self.taken += 1
        keep = min(1 - 1 / self.taken, self.decay)
        self.mean = [
            keep * old + (1 - keep) * new for old, new in zip(self.mean, weights(self.group), strict=True)
        ]

    def assert_is(self, averages: sg.Group, **close) -> None:
        for found, expected in zip(weights(averages), self.mean, strict=True):
            torch.testing.assert_close(found, expected, **(close or {"atol": 1e-14, "rtol": 1e-12}))


def step(task: sg.CollaborativeLearning, optimiser: torch.optim.Optimizer, number: int = 0) -> None:
    optimiser.zero_grad()
    x, y = batch(number)
    task(x, y).total.backward()
    optimiser.step()
