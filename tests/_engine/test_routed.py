"""What a routed layer may be given and may return, beside one tensor."""

from typing import NamedTuple

import pytest
import torch
from torch import nn

import studygroup as sg


class Pair(NamedTuple):
    state: torch.Tensor
    extra: dict


class Block(nn.Module):
    """Takes a mask by keyword, a table without rows and a flag; returns a nest."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, h, flag, *, mask=None, table=None, early=None):
        assert flag == "as it is"
        assert table.shape == (7,)
        out = self.linear(h) * mask + early.sum(1, keepdim=True)
        return Pair(out, {"sum": out.sum(1), "none": None, "same": 3})


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = Block(), Block(), nn.Linear(4, 2)

    def forward(self, x):
        mask = (x > 0).float()
        out = self.first(x, "as it is", mask=mask, table=torch.zeros(7), early=x)
        late = (out.state > 0).float()
        out = self.second(out.state, "as it is", mask=late, table=torch.zeros(7), early=x)
        assert out.extra["none"] is None
        assert out.extra["same"] == 3
        return self.head(out.state + out.extra["sum"][:, None])


@pytest.mark.parametrize("owned", [False, True])
def test_arguments_with_rows_travel_and_others_pass(owned):
    """`early` has the rows of the input, also where the second layer has more: it is gathered by sample."""
    routes = sg.routes.tree({"first": [0, 1, 0, 1], "second": [0, 0, 1, 1]})
    group = sg.StudyGroup(Net(), routes, init=Net, share_head=True)
    x = torch.randn(6, 4)
    owner = torch.tensor([3, 0, 2, 1, 0, 3])
    sees = torch.arange(4)[:, None] == owner if owned else torch.ones(4, 6, dtype=torch.bool)
    logits = group(x, sees=sees).logits
    for student in range(4):
        own = sees[student]
        torch.testing.assert_close(logits[student][own], group.export(student)(x)[own])


def test_an_output_that_is_no_row_is_an_error():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x):
            return self.linear(x).sum(0)

    group = sg.StudyGroup(nn.Sequential(Odd(), nn.Linear(4, 2)), sg.routes.branches(["0", "1"], students=2))
    with pytest.raises(ValueError, match="axis 0 is not its rows"):
        group(torch.randn(3, 4))


def test_first_modules_may_work_in_place_on_slices_of_their_own():
    def build():
        return nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 2)))

    group = sg.StudyGroup(build(), sg.routes.branches(["0", "1"], students=3), init=build)
    x = torch.randn(5, 4)
    logits = group(x).logits
    logits.sum().backward()
    for student in range(3):
        network = group.export(student)
        torch.testing.assert_close(logits[student], network(x))
        network(x).sum().backward()
        torch.testing.assert_close(group.model[0].bank[student].weight.grad, network[0].weight.grad)


def test_work_in_place_is_seen_in_inference_mode_too():
    build = lambda: nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 2)))
    group = sg.StudyGroup(build(), sg.routes.branches(["1"], students=2), init=build)
    x = torch.randn(5, 4)
    with pytest.raises(ValueError, match="in place"):
        group(x)
    with torch.inference_mode():
        logits = group(x).logits
        torch.testing.assert_close(logits[1], group.export(1)(x))


def test_work_in_place_after_a_layer_with_an_idle_module():
    build = lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 2))
    for options in ({}, {"rescale_gradients": True}):
        group = sg.StudyGroup(build(), sg.routes.branches(["0", "2"], students=3), init=build, **options)
        sees = torch.tensor([[True, True], [False, False], [True, False]])
        group(torch.randn(2, 4, requires_grad=True), sees=sees).logits.sum().backward()
        assert group.model[0].bank[1].weight.grad is None
