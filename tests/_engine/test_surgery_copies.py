"""How copies are drawn, compared and named, one step at a time."""

import warnings

import pytest
import torch
from torch import nn

import studygroup as sg
from studygroup._engine.surgery import (
    FreshInitWarning,
    _difference,
    _redraw,
    _rescaled,
    distinct,
    extract,
    install,
)

ROUTES = sg.routes.branches(["0", "1"], students=2)


def net(width: int = 4) -> nn.Module:
    return nn.Sequential(nn.Linear(width, 4), nn.Linear(4, 2))


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ({"a": (2, 3), "b": ()}, ""),
        ({"a": (2, 4), "b": ()}, "has 'a' of shape (2, 4), and the model's own 'a' of shape (2, 3)"),
        ({"b": ()}, "has no 'a', and the model's own 'a' of shape (2, 3)"),
        ({"a": (2, 3), "b": (), "c": (1,)}, "has 'c' of shape (1,), and the model's own no 'c'"),
    ],
)
def test_the_first_difference_of_two_states_is_said(new, said):
    own = {"a": torch.zeros(2, 3), "b": torch.zeros(())}
    assert _difference({name: torch.zeros(shape) for name, shape in new.items()}, own) == said


class Other(nn.Linear):
    pass


@pytest.mark.parametrize(
    ("init", "said"),
    [
        (
            lambda: nn.Sequential(Other(4, 4), nn.Linear(4, 2)),
            r"layer '0' is a Other, and the model's own a Linear; return a new model of the same class and sizes",
        ),
        (
            lambda: net(5),
            r"layer '0' has 'weight' of shape \(4, 5\), and the model's own 'weight' of shape \(4, 4\)",
        ),
        (lambda: nn.Sequential(nn.Linear(4, 4)), r"^Sequential has no layer '1'"),
    ],
)
def test_a_new_model_of_another_structure_is_refused(init, said):
    with pytest.raises(ValueError, match=said):
        install(net(), ROUTES, init=init)


def test_each_module_is_drawn_once_and_the_first_is_the_models_own():
    model, made = net(), []

    def init() -> nn.Module:
        made.append(net())
        return made[-1]

    own = list(model)
    installed, routed = install(model, sg.Routes(("0", "1"), ((0, 1, 1), (0, 1, 2))), init=init)
    assert installed is model
    assert list(routed) == ["0", "1"]
    assert [routed["0"], routed["1"]] == list(model)
    assert [len(layer.bank) for layer in routed.values()] == [2, 3]
    assert len(made) == 2
    for number, layer in enumerate(routed.values()):
        assert layer.bank[0] is own[number]
        assert layer.name == str(number)
        for copy, new in zip(list(layer.bank)[1:], made, strict=False):
            assert torch.equal(copy.weight, new[number].weight)
            assert copy.weight is not new[number].weight
    assert routed["1"].choice == (0, 1, 2)
    alone = extract(model, student=2)
    assert torch.equal(alone[0].weight, routed["0"].bank[1].weight)
    assert torch.equal(alone[1].weight, routed["1"].bank[2].weight)


def test_a_whole_model_is_a_routed_layer():
    model = net()
    installed, routed = install(model, sg.routes.independent(students=3), init="copy")
    assert installed is routed[""]
    assert installed.bank[0] is model
    assert all(torch.equal(each[1].weight, model[1].weight) for each in installed.bank)


class Drawn(nn.Module):
    """Draws one parameter anew, and leaves the other, which is not all one number, as it is."""

    def __init__(self):
        super().__init__()
        self.drawn, self.left = nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(3))
        self.ones, self.one = nn.Parameter(torch.ones(3)), nn.Parameter(torch.full((1,), 2.0))

    def reset_parameters(self):
        with torch.no_grad():
            self.drawn.normal_()
            self.ones.fill_(1)


class Private(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3))

    def _reset_parameters(self):
        with torch.no_grad():
            self.weight.normal_()


def test_what_no_method_draws_is_named():
    bare = nn.Module()
    bare.register_parameter("gain", nn.Parameter(torch.randn(2)))
    made = nn.ModuleDict({"drawn": Drawn(), "private": Private(), "bare": bare, "plain": nn.Linear(2, 2)})
    before = made["private"].weight.detach().clone()
    assert _redraw(made) == ["drawn.left", "bare.gain"]
    assert not torch.equal(made["private"].weight, before)
    assert _redraw(bare) == ["gain"]


def test_another_scale_is_told_from_256_numbers_on_or_from_zero():
    def pair(numbers: int, own: float, new: float) -> dict[str, str]:
        first, second = (nn.ParameterList([torch.full((numbers,), value)]) for value in (own, new))
        return _rescaled(second, first)

    assert pair(256, 1.0, 1.24) == pair(256, 1.24, 1.0) == {}
    assert pair(256, 1.0, 1.26) == {"0": "1, and 1.3 in copies"}
    assert pair(256, 0.126, 0.1) == {"0": "0.13, and 0.1 in copies"}
    assert pair(255, 1.0, 3.0) == {}
    assert pair(1, 0.0, 3.0) == {"0": "0, and 3 in copies"}
    assert pair(1, 0.0, 0.0) == {}
    assert _rescaled(nn.Linear(99, 99), nn.Linear(99, 99).to("meta")) == {}


def test_three_parameters_of_another_scale_are_named_and_the_rest_counted():
    def big() -> nn.Module:
        made = nn.Sequential(*[nn.Linear(20, 20, bias=False) for _ in range(5)])
        for layer in made:
            layer.weight.data *= 10
        return made

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        install(big(), sg.routes.branches([str(k) for k in range(5)], students=3), init="fresh")
    (one,) = (str(each.message) for each in said if each.category is FreshInitWarning)
    assert one.count("in copies)") == 3
    assert "0.weight (" in one
    assert "; 2.weight (" in one
    assert (
        "; and 2 more; pass init=<a function that returns a new model>, or init='copy' if the model is" in one
    )
    with pytest.warns(
        FreshInitWarning, match=r"2\.weight \([^()]* in copies\); pass init"
    ):  # three, and no more
        install(big(), sg.routes.branches(["0", "1", "2"], students=2), init="fresh")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        install(big(), sg.routes.branches(["0"], students=2), init=big)
        install(big(), sg.routes.branches(["0"], students=2), init="copy")


def test_models_may_share_a_part_and_not_all():
    body, model = nn.Linear(4, 4), net()
    assert distinct("fresh", model) == "fresh"
    assert distinct("copy", model) == "copy"
    new = distinct(lambda: nn.Sequential(body, nn.Linear(4, 2)), model)
    assert new()[0] is new()[0] is body
    none = distinct(nn.ReLU, model)
    assert isinstance(none(), nn.ReLU)
    assert isinstance(none(), nn.ReLU)  # of no tensors nothing is equal
    once = net()
    again = distinct(lambda: once, model)
    assert again() is once
    with pytest.raises(
        ValueError, match=r"^init returned the same Sequential again, or one with layers of an earlier"
    ):
        again()
    part = distinct(lambda: model[0], model)
    with pytest.raises(ValueError, match=r"^init returned the same Linear again"):
        part()
