import re

import torch
from torch import nn

import studygroup as sg
from studygroup.objectives import Imitation, Supervised
from studygroup.teachers import MeanOfOthers


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))


def keys(task: sg.CollaborativeLearning) -> list[str]:
    return re.findall(r"@\w+{(\w+),", sg.citation(task))


def test_every_method_is_cited_by_its_parts():
    x, layers = torch.randn(2, 4), ["2", "4"]
    assert keys(sg.recipes.baseline(build())) == []
    assert keys(sg.recipes.cgl(build(), layers=layers, students=4)) == [
        "laine2017temporal",
        "feng2021collaborative",
    ]
    assert keys(sg.recipes.dml(build())) == ["zhang2018deep"]
    assert keys(sg.recipes.multi_instance(build())) == ["song2018collaborative"]
    assert keys(sg.recipes.cl_ilr(build(), layers=layers)) == ["song2018collaborative"]
    assert keys(sg.recipes.one(build(), layers=layers, example=x)) == [
        "laine2017temporal",
        "lan2018knowledge",
    ]
    assert keys(sg.recipes.okddip(build(), layers=layers, example=x)) == [
        "laine2017temporal",
        "chen2020online",
    ]


def test_what_happens_inside_one_network_is_cited():
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 3))
    options = {"example": torch.randn(2, 4), "inner": ["0"], "kernels": ["0"]}
    for part in ("mid", "pull_push", "kernel"):
        assert keys(sg.recipes.intra(net, **options, **{part: 1.0})) == ["fang2021intra"]
    assert keys(sg.recipes.intra(net, **options, out=1.0)) == ["song2018collaborative", "fang2021intra"]
    views = sg.StudyGroup(net, sg.routes.hierarchical_dropout(["2"]))
    assert keys(sg.CollaborativeLearning(views, [Supervised()])) == ["fang2021intra"]


def test_a_weight_that_ramps_up_is_cited_wherever_it_stands():
    group = sg.StudyGroup(build(), sg.routes.independent(students=2))
    part = sg.objectives.InnerClassifiers({"2": 6}, classes=3, weight=sg.schedules.ramp_up(0.0, 0.2))
    assert keys(sg.CollaborativeLearning(group, [part])) == [
        "szegedy2015going",
        "laine2017temporal",
    ]
    labels = Supervised(weight=sg.schedules.ramp_up(0.0, 0.2))
    assert keys(sg.CollaborativeLearning(group, [labels])) == ["laine2017temporal"]


def test_parts_put_together_are_cited_together():
    group = sg.StudyGroup(build(), sg.routes.branches(["2", "4"], students=3), rescale_gradients=True)
    imitation = Imitation(MeanOfOthers(), aggregate="divergences")
    task = sg.CollaborativeLearning(group, [Supervised(), imitation], rows=sg.Subsets())
    assert keys(task) == ["zhang2018deep", "song2018collaborative", "feng2021collaborative"]
    entries = sg.citation(task).split("\n\n")
    assert all(entry.count("{") == entry.count("}") for entry in entries)


def test_a_source_that_the_bibliography_does_not_know_stands_by_its_year():
    early = "@misc{early,\n  title = {A},\n  year  = {2016}\n}"
    late = "@misc{late,\n  year = {2018}\n}"
    undated = "@misc{undated,\n  title = {B}\n}"
    task = sg.recipes.dml(build())  # of 2018
    task.objectives[1].sources = (undated, late, *task.objectives[1].sources, early)
    assert keys(task) == ["early", "zhang2018deep", "late", "undated"]
