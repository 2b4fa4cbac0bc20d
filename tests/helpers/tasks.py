"""Four students in small tasks, and objectives that say little."""

import torch
from torch import nn

import studygroup as sg
from helpers.networks import CLASSES
from studygroup.objectives import Objective, Supervised


def norm_net() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, CLASSES)
    )


def task(*further: Objective, labels: float = 1.0, **options) -> sg.CollaborativeLearning:
    """Four students who learn from the labels, and from what is further given."""
    torch.manual_seed(0)
    routes = sg.routes.random([("0", "1"), "4"], students=4, modules=2, seed=0)
    group = sg.StudyGroup(norm_net(), routes, init=norm_net)
    return sg.CollaborativeLearning(group, [Supervised(weight=labels), *further], **options)


def batch(rows: int = 16):
    draw = torch.Generator().manual_seed(7)
    return torch.randn(rows, 6, generator=draw), torch.randint(CLASSES, (rows,), generator=draw)


def owners(rows: int = 16):
    return torch.arange(rows) % 4


def smooth() -> nn.Module:
    """Rows know nothing of each other, and nothing is drawn."""
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, CLASSES))


class Length(Objective):
    """Mean square of the logits, one for all."""

    def loss(self, step):
        return step.outputs.logits.square().mean()


class OwnLength(Objective):
    """The same of each student."""

    def loss(self, step):
        return step.outputs.logits.square().mean((1, 2))
