import dataclasses

import pytest
import torch

from helpers.small_run import small
from studygroup.analysis import analyses
from studygroup.analysis.slices import along_direction, filter_normalised
from studygroup.seeding import generator

SMALL = dataclasses.replace(analyses["landscape"], points=3, directions=2, pairs=2)


def test_a_run(three):
    found = SMALL(three.folder)
    assert found["around"] == [-1.0, 0.0, 1.0]
    assert found["line"] == [0.0, 0.5, 1.0]
    middles = {way["loss"][1] for way in found["directions"]}
    assert len(middles) == 1  # the shipped network itself
    assert found["directions"][0]["loss"] != found["directions"][1]["loss"]
    assert found["directions"][0]["accuracy"][1] == pytest.approx(three.summary["shipped"]["test"])
    pairs = [way["pair"] for way in found["lines"]]
    assert len(pairs) == 2
    assert all(0 <= a < b < 3 for a, b in pairs)
    for way in found["lines"]:
        ends = [three.summary["test"]["students"][k] for k in way["pair"]]
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
    rows = list(made.build_feed(data).scored(data.test, torch.device("cpu")))
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
