"""A network that takes a way of its own in training, and groups of it compared with their exports."""

import torch
from torch import nn

import studygroup as sg

CLASSES = 3
OWNERS = torch.arange(3)[:, None] == torch.tensor([2, 0, 1, 1, 0, 2, 0])


def group(build, layers=("body", "fc"), *, students=3, **options) -> sg.StudyGroup:
    torch.manual_seed(0)
    made = sg.StudyGroup(
        build(), sg.routes.branches(list(layers), students=students), init=build, share_head=True, **options
    )
    return made.train()


def assert_trains_as_its_exports(
    made: sg.StudyGroup, x: torch.Tensor, sees: torch.Tensor | None = None
) -> None:
    """Values and gradients in training, without draws."""
    alone = [made.export(student).train() for student in range(made.students)]
    outputs = made(x, sees=sees)
    made.zero_grad()
    outputs.logits.square().sum().backward()
    for student, network in enumerate(alone):
        own = outputs.sees[student]
        logits = network(x[own])
        torch.testing.assert_close(outputs.logits[student][own], logits)
        logits.square().sum().backward()
        head = list(made.copies("fc"))[min(student, len(made.copies("fc")) - 1)]
        if len(made.copies("fc")) > 1:
            torch.testing.assert_close(head.weight.grad, network.fc.weight.grad)


class Net(nn.Module):
    """Takes `way` between body and head in training alone."""

    def __init__(self):
        super().__init__()
        self.stem, self.body, self.fc = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        h = self.body(self.stem(x).relu()).relu()
        return self.fc(self.way(h, x) if self.training else h)

    def way(self, h, x):
        return h
