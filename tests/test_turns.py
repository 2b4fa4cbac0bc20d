import pytest
import torch
from torch import nn

import studygroup as sg
from studygroup.turns import alone


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3))


def test_a_student_alone_moves_his_own_parameters_and_the_shared_ones():
    group = sg.StudyGroup(build(), sg.routes.tree({"2": [0, 0, 1], "4": [0, 1, 2]}))
    group.model[0].bias.requires_grad_(False)  # frozen by the user, and so it stays
    with alone(group, 1):
        logits = group(torch.randn(2, 4)).logits
    assert logits.shape == (3, 2, 3)
    logits.sum().backward()
    moved = {name for name, p in group.named_parameters() if p.grad is not None}
    assert moved == {
        "model.0.weight",
        *(f"model.{layer}.{kind}" for layer in ("2.bank.0", "4.bank.1") for kind in ("weight", "bias")),
    }
    assert [name for name, p in group.named_parameters() if not p.requires_grad] == ["model.0.bias"]


def test_parameters_are_put_back_after_an_error():
    group = sg.Peers([build(), build()])
    with pytest.raises(RuntimeError), alone(group, 0):
        group(torch.randn(2, 5))
    assert all(p.requires_grad for p in group.parameters())
    assert [id(p) for p in group.parameters_of(1)] == [id(p) for p in group.model[1].parameters()]
