"""How near two answers have to be, by precision and scale."""

import pytest
import torch
from torch import nn

from studygroup._engine.near import Near, agree, close, equal
from studygroup._engine.rows import BatchLayout
from studygroup._engine.watch import Call

LOOSE = {torch.float64: 1e-6, torch.float32: 1e-2, torch.bfloat16: 0.15}


@pytest.mark.parametrize("dtype", LOOSE)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("tight", [False, True])
def test_logits_may_differ_by_a_share_of_the_largest(dtype, scale, tight):
    near = Near(nn.Linear(2, 2).to(dtype))
    share = LOOSE[dtype] / ({torch.bfloat16: 10}.get(dtype, 100) if tight else 1)
    ours = torch.tensor([[[0.0, 1.0], [-0.5, 0.2]]], dtype=torch.float64) * scale
    for factor, expected in ((0.9, True), (1.1, False)):
        other = ours.clone()
        other[0, 1, 1] += factor * share * scale
        for first, second in ((ours, other), (other, ours)):
            alone = second.to(dtype)
            exact = first + alone.double() - second  # the rounding of the precision aside
            assert near.logits(exact, alone, tight=tight) == expected


def test_what_is_no_number_must_be_none_in_both():
    near, nan = Near(nn.Linear(2, 2)), torch.tensor([[float("nan"), 1.0]])
    assert near.logits(nan, nan.clone())
    assert not near.logits(nan, torch.tensor([[0.0, 1.0]]))
    assert near.logits(torch.zeros(2, 0), torch.zeros(2, 0))


def test_marks_are_near_relative_to_the_length_of_their_row():
    """The first mark of a row is its length."""
    marks = torch.tensor([[100.0, 3.0], [1.0, 0.5]])
    for row, size in ((0, 100), (1, 1)):
        for factor, expected in ((0.9, True), (1.1, False)):
            other = marks.clone()
            other[row, 1] += factor * 0.01 * size
            assert close(marks, other, loose=0.01) == close(other, marks, loose=0.01) == expected
    endless = torch.tensor([[float("inf"), 3.0], [1.0, 0.5]])
    assert close(endless, endless + torch.tensor([[0.0, 9.0], [0.0, 0.0]]), loose=0.01)


def test_marks_are_equal_to_the_last_bit():
    marks = torch.tensor([[1.0, float("nan")]])
    assert equal(marks, marks.clone())
    assert not equal(marks, marks + 1e-7)
    assert not equal(marks, marks[:, :1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_students_calls_agree_with_the_groups_on_its_own_rows(dtype):
    """In the order of the student's rows, whatever others have; by the tolerance of the precision."""
    near, module = Near(nn.Linear(2, 2).to(dtype)), nn.Identity()
    sees = torch.tensor([[True, False, True], [True, True, True]])
    layout = BatchLayout(sees)
    rows = layout.split(layout.entry, (0, 1), 2).rows  # student 0 on rows 0 and 2, then student 1 on all
    marks = torch.tensor([[2.0, 1.0], [4.0, -1.0], [9.0, 9.0], [7.0, 7.0], [8.0, 8.0]], dtype=dtype)
    group = Call("layer", module, rows, marks, (2,))
    for student, own in ((0, [0, 1]), (1, [2, 3, 4])):
        for factor, expected in ((0.9, True), (1.1, False)):
            moved = marks[own].clone()
            moved[1, 1] += factor * LOOSE[dtype] * moved[1, 0]
            assert agree(group, Call("layer", module, None, moved, (2,)), student, near.loose) == expected
    far = marks[[0, 1]] + 5
    for other in (
        Call("layer", module, None, None, (2,)),
        Call("layer", module, None, far, (3,)),
        Call("layer", module, None, far[:1], (2,)),
    ):
        assert agree(group, other, 0, near.loose)  # there is nothing to compare
    alone = Call("layer", module, None, far, (2,))
    assert agree(Call("layer", module, None, marks, (2,)), alone, 0, near.loose)
    assert agree(Call("layer", module, rows, marks[:2], (2,)), alone, 0, near.loose)
    assert not agree(group, alone, 0, near.loose)


def test_one_parameter_in_half_precision_or_autocast_makes_a_network_coarse():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    assert Near(net).loose(torch.float32) == 1e-2
    assert Near(net).loose(torch.int32) == 0.15
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert Near(net).loose(torch.float32) == 0.15
    net[1].bias.data = net[1].bias.data.half()
    assert Near(net).loose(torch.float32) == 0.15
    assert Near(nn.ReLU()).loose(torch.float64) == 1e-6


def test_logits_beyond_all_numbers_are_compared_as_they_are():
    near, endless = Near(nn.Linear(2, 2)), torch.tensor([[float("inf"), 1.0]])
    assert near.logits(endless, endless.clone())
    assert near.logits(endless, endless + torch.tensor([[0.0, 0.009]]))
    assert not near.logits(endless, endless + torch.tensor([[0.0, 0.011]]))
