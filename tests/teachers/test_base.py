"""What a teacher is given of the outputs."""

import torch
from torch import nn

import studygroup as sg
from studygroup.objectives import Capture, Imitation, Supervised
from studygroup.teachers import OneTeacher


class OfHidden(OneTeacher):
    """Reads an inner layer with a head of its own."""

    capture = Capture(activations=("0",))

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 3).requires_grad_(False)

    def logits(self, answers, y):
        self.heard = answers.activations["0"]
        return self.head(self.heard.mean(0)).expand_as(answers.logits)


def test_activations_come_in_single_precision_under_autocast():
    """Teachers answer with autocast off: a head in single precision takes no activations in half."""
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    teacher = OfHidden()
    group = sg.StudyGroup(net, sg.routes.independent(students=2))
    task = sg.CollaborativeLearning(group, [Supervised(), Imitation(teacher)])
    with torch.autocast("cpu", torch.bfloat16):
        losses = task(torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1]))
    assert teacher.heard.dtype == torch.float32
    losses.total.backward()
    assert all(p.grad.abs().sum() > 0 for p in group.parameters())
