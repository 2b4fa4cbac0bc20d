import copy
import dataclasses
import math

import pytest
import torch
from torch import nn

from helpers.small_run import small
from helpers.tiny import answers, batches, net
from studygroup.analysis import analyses
from studygroup.analysis.landscape import along_direction, between, filter_normalised, points
from studygroup.seeding import generator

SMALL = dataclasses.replace(analyses["landscape"], points=3, directions=2, pairs=2)


def test_a_run(three):
    found = SMALL(three.folder)
    assert found["around"] == [-1.0, 0.0, 1.0]
    assert found["line"] == [0.0, 0.5, 1.0]
    middles = {way["loss"][1] for way in found["directions"]}
    assert len(middles) == 1  # the shipped network itself
    assert found["directions"][0]["loss"] != found["directions"][1]["loss"]
    assert found["directions"][0]["accuracy"][1] == pytest.approx(three.summary.shipped.test)
    pairs = [way["pair"] for way in found["lines"]]
    assert len(pairs) == 2
    assert all(0 <= a < b < 3 for a, b in pairs)
    for way in found["lines"]:
        ends = [three.summary.test.students[k] for k in way["pair"]]
        assert [way["accuracy"][0], way["accuracy"][2]] == pytest.approx(ends)
        over = way["loss"][1] - (way["loss"][0] + way["loss"][2]) / 2
        assert way["barrier"] == pytest.approx(max(over, 0), abs=1e-12)
    assert found["barrier"] == pytest.approx(sum(way["barrier"] for way in found["lines"]) / 2)
    table = SMALL.table(found)
    assert {len(row) for row in table} == {5}
    assert table[4][0] == "{} and {}".format(*pairs[0])
    assert table[4][4] == f"{found['lines'][0]['barrier']:.3f}"


def test_the_draws_are_those_of_the_seed(three):
    made = small()
    data = made.load_data()
    rows = list(made.build_datamodule(data).evaluation_batches(data.test, torch.device("cpu")))
    only = dataclasses.replace(SMALL, pairs=0, seed=4)
    found = only(three.folder)
    net = three.load()
    way = filter_normalised(net, generator(4, "landscape", 1))
    expected = along_direction(net, way, rows, at=(-1.0, 0.0, 1.0), prepare=lambda _: None)
    assert found["directions"][1]["loss"] == pytest.approx(list(expected.loss))
    assert (found["lines"], found["barrier"]) == ([], None)
    assert len(only.table(found)) == 3


def test_statistics_taken_anew_change_the_loss(three):
    anew = dataclasses.replace(SMALL, directions=1, pairs=1, reestimate_bn=True)
    as_trained = dataclasses.replace(anew, reestimate_bn=False)
    found, before = anew(three.folder), as_trained(three.folder)
    assert found["reestimated_bn"]
    assert found["lines"][0]["loss"][1] != before["lines"][0]["loss"][1]
    assert found["directions"][0]["loss"] != before["directions"][0]["loss"]


def test_one_student_has_no_lines(one):
    assert SMALL(one.folder)["lines"] == []


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
