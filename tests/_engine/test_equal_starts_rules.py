"""The rules by which students are told to be equal, one by one."""

import pytest
from torch import nn

from studygroup._engine.equal_starts import _named, classes, drops_something, equally_placed, kinds
from studygroup._engine.routed import RoutedLayer


def bank_of(*values: float) -> list[nn.Module]:
    """Modules that are equal where their values are."""
    made = [nn.BatchNorm1d(2) for _ in values]
    for module, value in zip(made, values, strict=True):
        module.running_mean.fill_(value)
    return made


def test_modules_of_equal_parameters_and_buffers_are_of_one_kind():
    assert kinds(bank_of(1, 2, 1, 2, 3)) == [0, 1, 0, 1, 4]
    assert kinds([nn.Linear(2, 2).requires_grad_(False).to("meta") for _ in range(2)]) == [0, 1]
    assert kinds([nn.ReLU(), nn.ReLU(), nn.BatchNorm1d(2)]) == [0, 0, 2]
    assert kinds([nn.BatchNorm1d(2), nn.BatchNorm1d(3)]) == [0, 1]


def test_classes_have_two_students_at_least():
    assert classes("abcab") == ((0, 3), (1, 4))
    assert classes("abc") == ()


@pytest.mark.parametrize(
    ("layers", "rescaled", "found"),
    [
        ([((1, 1, 1), (0, 1, 2))], False, ((0, 1, 2),)),
        ([((1, 2, 1), (0, 1, 2))], False, ((0, 2),)),
        ([((1, 1), (0, 0, 1))], False, ((0, 1),)),  # the module of two gets the larger gradient
        ([((1, 1), (0, 0, 1))], True, ((0, 1, 2),)),
        ([((1, 1, 1), (0, 1, 2)), ((1, 2), (0, 1, 1))], False, ((1, 2),)),
        ([((1,), (0, 0, 0))], False, ()),
    ],
)
def test_students_of_equal_weights_and_gradients(layers, rescaled, found):
    made = [RoutedLayer(str(n), bank_of(*values), choice) for n, (values, choice) in enumerate(layers)]
    assert equally_placed(made, students=3, rescaled=rescaled) == found


def test_views_of_one_network_are_left_out():
    weights = RoutedLayer("weights", bank_of(1, 1), (0, 0, 1, 1))
    drop = RoutedLayer("drop", [nn.Dropout(), nn.Dropout()], (0, 1, 0, 1))
    assert equally_placed([weights], students=4, rescaled=False) == ((0, 1, 2, 3),)
    assert equally_placed([weights, drop], students=4, rescaled=False) == ((0, 1, 2, 3),)
    one = RoutedLayer("weights", bank_of(1, 1), (0, 0, 1))
    alone = RoutedLayer("drop", [nn.Dropout(), nn.Dropout()], (0, 1, 0))
    assert equally_placed([one, alone], students=3, rescaled=False) == ()


@pytest.mark.parametrize(
    ("found", "students", "said"),
    [
        (((0, 1, 2),), 3, "all students"),
        (((0,),), 1, "the student"),
        (((1,),), 3, "student 1"),
        (((0, 2),), 3, "students 0 and 2"),
        (((0, 1), (2, 3, 4)), 6, "students 0 and 1; 2, 3 and 4"),
    ],
)
def test_students_are_named_by_their_numbers(found, students, said):
    assert _named(found, students) == said


class Drops(nn.Module):
    def __init__(self, rate):
        super().__init__()
        self.drop_prob = rate


@pytest.mark.parametrize(
    ("module", "drops"),
    [
        (nn.Dropout(0.1), True),
        (nn.Dropout(0.0), False),
        (nn.Dropout2d(0.5), True),
        (Drops(0.2), True),
        (Drops(0.0), False),
        (nn.LSTM(2, 2, num_layers=2, dropout=0.3), True),
        (nn.LSTM(2, 2, num_layers=2, dropout=0.0), False),
        (nn.MultiheadAttention(2, 1, dropout=0.1), True),
        (nn.Linear(2, 2), False),
    ],
)
def test_what_drops_is_told_by_its_name_and_rate(module, drops):
    net = nn.Sequential(nn.Linear(2, 2), module)
    assert drops_something(net) == drops_something(net, now=True) == drops
    net.eval()
    assert drops_something(net) == drops
    assert not drops_something(net, now=True)


class StochasticDepth(nn.Module):
    """Named as torchvision's, with its rate."""

    p = 0.2


class Attends(nn.Module):
    """Drops by itself, as attention does."""

    dropout = 0.1


@pytest.mark.parametrize("module", [nn.Dropout(0.5), StochasticDepth(), Attends()])
def test_what_drops_is_known_by_its_name_or_its_rate(module):
    assert drops_something(nn.Sequential(nn.Linear(2, 2), module))
    assert drops_something(nn.Sequential(module).eval())
    assert not drops_something(nn.Sequential(module).eval(), now=True)
    assert not drops_something(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0)))
