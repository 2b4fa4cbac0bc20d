"""What a routed layer may be given and may return, beside one tensor."""

from typing import NamedTuple

import pytest
import torch
from torch import nn

import studygroup as sg
from studygroup._engine import routed
from studygroup._engine.routed import RoutedLayer, joined_by_zero


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


def test_settings_are_those_of_the_first_module_and_set_in_all():
    layer = RoutedLayer("layer", [nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)) for _ in range(2)], [0, 1])
    assert layer[1] is layer.bank[0][1]
    assert list(layer) == list(layer.bank[0])
    drop = RoutedLayer("drop", [nn.Dropout(0.5), nn.Dropout(0.5)], [0, 1])
    drop.p = 0.25
    assert [module.p for module in drop.bank] == [0.25, 0.25]
    assert "p" not in vars(drop)
    drop.own = 3
    assert vars(drop)["own"] == 3
    assert not hasattr(drop.bank[0], "own")
    drop.name = "other"
    assert drop.name == "other"
    assert drop.has_state is False
    assert layer.has_state is True


def test_modules_follow_the_modes_of_the_first():
    layer = RoutedLayer("layer", [nn.Sequential(nn.Dropout(), nn.ReLU()) for _ in range(3)], [0, 1, 2])
    layer.bank[0][0].eval()
    layer.follow_first()
    assert [[part.training for part in module.modules()] for module in layer.bank] == [
        [True, False, True]
    ] * 3


@pytest.mark.parametrize("met", [False, True])
def test_parameters_that_no_row_has_reached_get_zeros_where_ranks_meet(monkeypatch, met):
    monkeypatch.setattr(routed, "every_parameter_needs_a_gradient", lambda: met)
    idle, frozen = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3), requires_grad=False)
    x, ids = torch.ones(2, requires_grad=True), torch.tensor([1, 2])
    found = joined_by_zero({"x": (x, [ids]), "pair": Pair(x, {}), "word": "w"}, [idle, frozen])
    assert found["x"][0].tolist() == found["pair"].state.tolist() == [1, 1]
    assert found["x"][1][0] is ids
    assert found["word"] == "w"
    assert type(found["pair"]) is Pair
    assert (found["x"][0] is x) != met
    (found["x"][0] + found["pair"].state).sum().backward()
    assert (idle.grad is not None and idle.grad.tolist() == [0, 0, 0]) == met
    assert frozen.grad is None
    with torch.no_grad():
        assert joined_by_zero(x, [idle]) is x
    assert joined_by_zero(x, [frozen]) is x


class Says(nn.Module):
    """Returns its rows in a nest, with something beside them."""

    def __init__(self, beside):
        super().__init__()
        self.linear, self.beside = nn.Linear(4, 4), beside

    def forward(self, x):
        return {"x": [self.linear(x)], "beside": self.beside}


class Takes(nn.Module):
    def __init__(self, beside):
        super().__init__()
        self.says, self.head = Says(beside), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.says(x)["x"][0])


def test_what_differs_from_module_to_module_and_has_no_rows_is_an_error():
    """Equal values pass; values of equal meaning and another kind do not."""
    for beside, fits in ((iter((1, 1)), True), (iter((1, 1.0)), False), (iter((1, 2)), False)):
        build = lambda beside=beside: Takes(next(beside))
        group = sg.StudyGroup(build(), sg.routes.branches(["says", "head"], students=2), init=build)
        if fits:
            assert group(torch.randn(3, 4)).logits.shape == (2, 3, 2)
            continue
        with pytest.raises(ValueError, match=r"layer 'says' returned 1, which differs from module to module"):
            group(torch.randn(3, 4))


def test_dropouts_that_alone_are_in_training_draw_for_every_view():
    """Monte-Carlo dropout: a network in evaluation whose dropouts draw; views must differ."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 32), nn.Dropout(0.5), nn.Linear(32, 2))
    group = sg.StudyGroup(net, sg.routes.hierarchical_dropout(["1"])).eval()
    x = torch.randn(8, 4)
    first, second = group(x).logits
    assert torch.equal(first, second)
    for module in group.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    first, second = group(x).logits
    assert not torch.equal(first, second)
