"""Networks that change their input in place, where another pass of the step reads it again."""

import copy

import pytest
import torch
from torch import nn

import studygroup as sg
from studygroup._engine.versions import Watched


class Normalises(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.fc = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(self.first(x.sub_(5.0).div_(2.0)).relu())


class Copies(Normalises):
    def forward(self, x):
        return super().forward(x.clone())


def x() -> torch.Tensor:
    return 2 * torch.randn(6, 4, generator=torch.Generator().manual_seed(1)) + 5


Y = torch.arange(6) % 3
STEPS = {
    "averages": lambda net: sg.recipes.self_distillation(net)(x(), Y),
    "teacher": lambda net: sg.recipes.distillation(net, teacher=copy.deepcopy(net), example=x())(x(), Y),
    "peers": lambda net: sg.Peers([net, copy.deepcopy(net)])(x()),
    "two passes": lambda net: sg.recipes.cgl(
        net, students=2, modules=2, layers=["fc"], probability=1.0, peers="train", init=type(net)
    )(x(), Y, owner=[0, 0, 0, 1, 1, 1]),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_another_pass_would_read_what_is_changed(step):
    with pytest.raises(ValueError, match="changes its input in place, and another pass"):
        step(Normalises())
    step(Copies())


def test_averages_of_equal_weights_answer_alike():
    assert abs(STEPS["averages"](Copies()).imitation.item()) < 1e-6


def test_what_was_changed_is_told():
    first, second = torch.zeros(3), torch.zeros(3)
    watched = Watched([first, second])
    assert watched.changed() == []
    second.add_(1)
    (changed,) = watched.changed()
    assert changed is second
    with torch.inference_mode():  # where torch does not count
        watched = Watched([alone := torch.zeros(3)])
        alone.add_(1)
    assert watched.changed() == []
