import re

import torch
from torch import nn

import studygroup as sg


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))


def keys(task: sg.CollaborativeLearning) -> list[str]:
    return re.findall(r"@\w+{(\w+),", sg.citation(task))


def test_every_method_is_cited_by_its_parts():
    x, layers = torch.randn(2, 4), ["2", "4"]
    assert keys(sg.recipes.baseline(build())) == []
    assert keys(sg.recipes.cgl(build(), layers=layers)) == ["feng2021collaborative"]
    assert keys(sg.recipes.dml(build())) == ["zhang2018deep"]
    assert keys(sg.recipes.multi_instance(build())) == ["song2018collaborative"]
    assert keys(sg.recipes.cl_ilr(build(), layers=layers)) == ["song2018collaborative"]
    assert keys(sg.recipes.one(build(), layers=layers, example=x)) == ["lan2018knowledge"]
    assert keys(sg.recipes.okddip(build(), layers=layers, example=x)) == ["chen2020online"]


def test_parts_put_together_are_cited_together():
    group = sg.StudyGroup(build(), sg.routes.branches(["2", "4"], students=3), rescale_gradients=True)
    task = sg.CollaborativeLearning(
        group, listen=sg.listen.Pairwise(), aggregate="probabilities", rows=sg.Subsets()
    )
    assert keys(task) == ["zhang2018deep", "song2018collaborative", "feng2021collaborative"]
    entries = sg.citation(task).split("\n\n")
    assert all(entry.count("{") == entry.count("}") for entry in entries)
