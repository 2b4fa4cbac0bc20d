"""Students who are updated one after another."""

import pytest
import torch

import studygroup as sg
from helpers.tasks import batch, owners, smooth, task
from helpers.teachers import Learns
from studygroup.objectives import Imitation, Supervised
from studygroup.teachers import MeanOfOthers, RandomSubgroup


def test_turns_go_through_steps():
    x, y = batch()
    t = task(Imitation(MeanOfOthers()), in_turn=True).train()
    assert t.turns == 4
    with pytest.raises(ValueError, match=r"go through task\.steps"):
        t(x, y)
    with pytest.raises(ValueError, match="leave owner out"):
        next(t.steps(x, y, owner=owners()))
    assert t.eval()(x, y).total.isfinite()
    with pytest.raises(ValueError, match="Learns learns, and in_turn=True"):
        task(Imitation(Learns(), moves_teachers=True), in_turn=True)
    with pytest.raises(ValueError, match="rows are sub-sets"):
        task(in_turn=True, rows=sg.Subsets())
    joint = task(Imitation(RandomSubgroup(0.5))).eval()
    with torch.no_grad():
        (losses,) = joint.steps(x, y, owner=owners())
        assert torch.equal(losses.total, joint(x, y, owner=owners()).total)
    assert joint.turns == 1


def in_turn(group: sg.Group) -> sg.CollaborativeLearning:
    return sg.CollaborativeLearning(group, [Supervised(), Imitation(MeanOfOthers())], in_turn=True).double()


def test_a_student_in_turn_moves_its_own_parameters_and_the_shared_ones():
    torch.manual_seed(0)
    group = sg.StudyGroup(smooth(), sg.routes.tree({"2": [0, 0, 1], "4": [0, 1, 2]}))
    group.model[0].bias.requires_grad_(False)  # frozen by the user, and so it stays
    t, (x, y) = in_turn(group), batch(3)
    moved = []
    for losses in t.steps(x.double(), y):
        t.zero_grad()
        losses.total.backward()
        moved.append({name for name, p in group.named_parameters() if p.grad is not None})
    modules = [("2.bank.0", "4.bank.0"), ("2.bank.0", "4.bank.1"), ("2.bank.1", "4.bank.2")]
    for found, own in zip(moved, modules, strict=True):
        kinds = {f"model.{layer}.{kind}" for layer in own for kind in ("weight", "bias")}
        assert found == {"model.0.weight", *kinds}
    assert [name for name, p in group.named_parameters() if not p.requires_grad] == ["model.0.bias"]


def test_after_an_error_in_turn_all_parameters_learn_again():
    t = in_turn(sg.Peers([smooth(), smooth()]))
    _, y = batch(3)
    with pytest.raises(ValueError, match="the network cannot take the input"):
        next(t.steps(torch.randn(3, 5).double(), y))
    assert all(p.requires_grad for p in t.parameters())
