import copy
import math

import pytest
import torch
from torch import nn

from helpers.tiny import answers, batches, net
from studygroup.analysis.slices import along_direction, between, filter_normalised, points

ROWS = batches(9, 6)


def loss_of(network):
    logits, labels = answers(copy.deepcopy(network), ROWS)
    each = [math.log(sum(map(math.exp, z))) - z[y] for z, y in zip(logits, labels, strict=True)]
    return sum(each) / len(each)


def leave(network):
    return None


def test_every_filter_is_as_long_as_the_networks_own():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 4)).double()
    with torch.no_grad():
        network[3].weight[1] = 0
    direction = filter_normalised(network, torch.Generator().manual_seed(1))
    for parameter, change in zip(network.parameters(), direction, strict=True):
        assert change.shape == parameter.shape
        if parameter.ndim == 1:
            assert not change.any()
            continue
        for own, drawn in zip(parameter.tolist(), change.tolist(), strict=True):
            lengths = [sum(v * v for v in torch.tensor(f).flatten().tolist()) ** 0.5 for f in (own, drawn)]
            assert lengths[1] == pytest.approx(lengths[0], rel=1e-6)
    draw = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
    assert torch.allclose(direction[0] / direction[0].norm(), _normalised(draw, network[0].weight), atol=1e-6)


def _normalised(draw, weight):
    rows = [d.double() / d.double().norm() * w.norm() for d, w in zip(draw, weight, strict=True)]
    whole = torch.stack(rows).detach()
    return whole / whole.norm()


def test_the_loss_along_a_direction_is_that_of_moved_networks():
    network = net(0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    direction = filter_normalised(network, torch.Generator().manual_seed(0))
    found = along_direction(network, direction, ROWS, at=(-1.0, 0.0, 0.5), prepare=leave)
    for point, loss in zip(found.at, found.loss, strict=True):
        moved = copy.deepcopy(network)
        with torch.no_grad():
            for parameter, change in zip(moved.parameters(), direction, strict=True):
                parameter += point * change
        assert loss == pytest.approx(loss_of(moved), rel=1e-12)
    assert found.loss[0] != found.loss[2]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training


def test_the_loss_on_a_line_is_that_of_mixed_networks_and_at_its_ends_that_of_the_networks():
    first, last = net(0), net(3)
    found = between(first, last, ROWS, at=points(0, 1, 5), prepare=leave)
    assert found.at == (0.0, 0.25, 0.5, 0.75, 1.0)
    for point, loss in zip(found.at, found.loss, strict=True):
        moved = copy.deepcopy(first)
        mixed = {
            name: (1 - point) * value + point * last.state_dict()[name]
            for name, value in first.state_dict().items()
            if value.is_floating_point()
        }
        moved.load_state_dict(mixed, strict=False)
        assert loss == pytest.approx(loss_of(moved), rel=1e-9)
    straight = [(1 - t) * found.loss[0] + t * found.loss[4] for t in found.at]
    over = [loss - line for loss, line in zip(found.loss, straight, strict=True)]
    assert found.barrier == pytest.approx(max(over))
    assert between(first, first, ROWS, at=points(0, 1, 3), prepare=leave).barrier == pytest.approx(
        0, abs=1e-12
    )


def test_statistics_can_be_taken_anew_at_each_point():
    first, last, seen = net(0), net(3), []

    def anew(network):
        seen.append(network[0].weight.clone())
        network[1].running_mean.fill_(1.0)

    kept = between(first, last, ROWS, at=(0.0, 0.5), prepare=leave)
    found = between(first, last, ROWS, at=(0.0, 0.5), prepare=anew)
    expected = copy.deepcopy(first)
    expected[1].running_mean.fill_(1.0)
    assert found.loss[0] == pytest.approx(loss_of(expected))
    assert found.loss[0] != kept.loss[0]
    assert torch.equal(seen[0], first[0].weight)
    assert torch.allclose(seen[1], (first[0].weight + last[0].weight) / 2)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"differ in 7 tensors, '0.bias' for one"):
        between(net(0), net(0, width=6), ROWS, at=(0.0, 1.0), prepare=leave)
    with pytest.raises(ValueError, match="points is 1; give at least 2"):
        points(0, 1, 1)
    network = net(0)
    away = [torch.full_like(parameter, 1e308) for parameter in network.parameters()]
    with pytest.raises(ValueError, match="infinite or not a number at 5 of the way from 0 to 5"):
        along_direction(network, away, ROWS, at=(0.0, 5.0), prepare=leave)
