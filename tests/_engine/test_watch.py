"""The calls of all modules, and modules of a bank that answer differently."""

from typing import NamedTuple

import pytest
import torch
from torch import nn

from studygroup._engine.routed import RoutedLayer
from studygroup._engine.watch import ToldApart, Watch, direction


class Returns(nn.Module):
    """Has a parameter, and returns what it is told to."""

    def __init__(self, value):
        super().__init__()
        self.scale, self.value = nn.Parameter(torch.ones(())), value

    def forward(self):
        return self.value


class Pair(NamedTuple):
    first: torch.Tensor
    second: list


X = torch.tensor([1.0, 3.0])
NESTS = [
    (X, lambda made: [made]),
    ([X, (X, 3)], lambda made: [made[0], made[1][0]]),
    ({"a": X, "b": {"c": X, "name": "n"}}, lambda made: [made["a"], made["b"]["c"]]),
    (Pair(X, [X]), lambda made: [made.first, made.second[0]]),
]


@pytest.mark.parametrize(("value", "tensors"), NESTS)
def test_each_module_of_a_bank_moves_every_tensor_that_it_returns(value, tensors):
    """Module k answers x (1 + k/8) + k/8; turned round, the first has the largest."""
    layer = RoutedLayer("layer", [Returns(value) for _ in range(3)], [0, 1, 2])
    with ToldApart().on([layer]) as told:
        for turned in (False, True):
            told.turned = turned
            for k, module in enumerate(layer.bank):
                by = (2 - k if turned else k) / 8
                made = module()
                assert type(made) is type(value)
                assert all(torch.equal(found, X * (1 + by) + by) for found in tensors(made))
    assert all(torch.equal(found, X) for module in layer.bank for found in tensors(module()))


def test_what_is_no_number_or_of_one_module_alone_stays():
    ids = torch.tensor([1, 2])
    whole = RoutedLayer("ids", [Returns([ids, None]) for _ in range(2)], [0, 1])
    one = RoutedLayer("one", [Returns(X)], [0, 0])
    same = RoutedLayer("same", [nn.Identity() for _ in range(2)], [0, 1])
    with ToldApart().on([whole, one, same]):
        assert whole.bank[1]()[0] is ids
        assert one.bank[0]() is X
        assert same.bank[1](X) is X


def test_a_call_is_noted_by_name_with_the_length_and_a_projection_of_each_row():
    net = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Tanh()))
    x = torch.randn(4, 2)
    watch = Watch()
    with watch.on(net):
        out = net(x)
        assert watch.inside == []
    assert [call.name for call in watch.calls] == ["0", "1.0", "1", ""]
    assert [call.module for call in watch.calls] == [net[0], net[1][0], net[1], net]
    expected = torch.stack([out.norm(dim=1), out @ torch.cos(torch.arange(3) * 2.399963)], 1)
    torch.testing.assert_close(watch.calls[-1].marks, expected)
    torch.testing.assert_close(direction(3, x.device, x.dtype), torch.cos(torch.arange(3) * 2.399963))
    assert watch.calls[-1].sizes == (3,)
    assert watch.calls[1].marks is watch.calls[3].marks  # a container returns its last part's tensor
    net(x)
    assert len(watch.calls) == 4
    watch.clear()
    assert watch.calls == []


@pytest.mark.parametrize("inference", [False, True])
def test_a_tensor_that_was_changed_in_place_has_other_marks(inference):
    class Changes(nn.Module):
        def forward(self, x):
            return x.mul_(2)

    net, watch = nn.Sequential(nn.Identity(), Changes()), Watch()
    with watch.on(net), torch.inference_mode(inference):
        net(torch.ones(2, 4))
    assert [call.marks[0, 0].item() for call in watch.calls] == [2, 4, 4]


@pytest.mark.parametrize("value", [None, "text", torch.tensor(1.0), torch.tensor([1, 2]), torch.zeros(2, 0)])
def test_what_has_no_rows_of_numbers_has_no_marks(value):
    module, watch = Returns(value), Watch()
    with watch.on(module):
        module()
    (call,) = watch.calls
    assert call.marks is None
    assert call.sizes == ()
