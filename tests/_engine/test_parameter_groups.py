"""What a network tells timm's optimisers of its parameters holds for all students, in the group's names."""

import pytest
import torch
from torch import nn

import studygroup as sg

timm = pytest.importorskip("timm", reason="timm's optimisers ask")
pytest.importorskip("timm.optim")


def vit() -> nn.Module:
    return timm.create_model("vit_tiny_patch16_224", img_size=16, patch_size=8, depth=3, num_classes=3)


def norms_alone(name: str) -> bool:
    return name.rpartition(".")[2] in ("cls_token", "pos_embed")


X = torch.randn(2, 3, 16, 16)
BRANCH = {"layers": ["blocks.2", "norm", "head"], "init": vit, "students": 2}
GROUPS = {
    "whole": lambda: sg.StudyGroup(vit(), sg.routes.independent(students=2), init=vit),
    "branches": lambda: sg.StudyGroup(vit(), sg.routes.branches(BRANCH["layers"], students=2), init=vit),
    "peers": lambda: sg.Peers([vit(), vit()]),
}


class Wrapped(nn.Module):
    """A network of one's own around timm's."""

    def __init__(self):
        super().__init__()
        self.backbone = vit()

    def forward(self, x):
        return self.backbone(x)


@pytest.mark.parametrize("name", GROUPS)
def test_weight_decay_leaves_the_same_parameters_of_every_student_alone(name):
    group = GROUPS[name]()
    task = sg.CollaborativeLearning(group, [sg.objectives.Supervised()])
    for one in (group, task):
        found = one.no_weight_decay()
        parameters = dict(one.named_parameters())
        assert found == {full for full in parameters if norms_alone(full)}
        assert len(found) == (2 if name == "branches" else 4)
        optimiser = timm.optim.create_optimizer_v2(one, opt="adamw", lr=0.1, weight_decay=0.5)
        decayed = {id(p) for part in optimiser.param_groups for p in part["params"] if part["weight_decay"]}
        for full, parameter in parameters.items():
            assert (id(parameter) in decayed) == (parameter.ndim > 1 and not norms_alone(full)), full


def scales(optimiser: torch.optim.Optimizer) -> dict[int, float]:
    return {id(p): part["lr_scale"] for part in optimiser.param_groups for p in part["params"]}


@pytest.mark.parametrize("name", [*GROUPS, "pcl", "distillation"])
def test_layer_decay_has_the_rates_of_the_plain_network(name):
    net = vit()
    plain = scales(timm.optim.create_optimizer_v2(net, opt="sgd", lr=0.1, layer_decay=0.5))
    expected = {own: plain[id(parameter)] for own, parameter in net.named_parameters()}
    assert len(set(expected.values())) == 5
    tasks = {
        "pcl": lambda: sg.recipes.pcl(vit(), example=X, **BRANCH),
        "distillation": lambda: sg.recipes.distillation(
            vit(), teacher=timm.create_model("vit_tiny_patch16_224", img_size=16, depth=7, num_classes=3),
            example=X,
        ),
    }  # fmt: skip
    task = tasks[name]() if name in tasks else GROUPS[name]()
    found = scales(timm.optim.create_optimizer_v2(task, opt="sgd", lr=0.1, layer_decay=0.5))
    students = getattr(task, "group", task)
    asked = 0
    for student in range(students.students):
        own = {id(p) for p in students.parameters_of(student)}
        for full, parameter in students.named_parameters():
            if id(parameter) in own:
                end = [name for name in expected if plain_name(full) == name]
                assert found[id(parameter)] == expected[end[0]], full
                asked += 1
    assert asked == students.students * len(expected)
    others = [
        p
        for p in task.parameters()
        if p.requires_grad and id(p) not in {id(q) for q in students.parameters()}
    ]
    assert all(found[id(p)] == 1.0 for p in others)


def plain_name(full: str) -> str:
    """The name in the user's model."""
    parts = full.split(".")
    while "bank" in parts:
        at = parts.index("bank")
        del parts[at : at + 2]
    start = next(
        k
        for k, part in enumerate(parts)
        if part in ("cls_token", "pos_embed", "patch_embed", "blocks", "norm", "head")
    )
    return ".".join(parts[start:])


def test_a_network_inside_ones_own_is_heard():
    group = sg.StudyGroup(Wrapped(), sg.routes.branches(["backbone.head"], students=2), init=Wrapped)
    assert group.no_weight_decay() == {"model.backbone.cls_token", "model.backbone.pos_embed"}


def test_networks_that_say_nothing_exclude_nothing():
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    group = sg.StudyGroup(net, sg.routes.branches(["2"], students=2))
    assert group.no_weight_decay() == set()
    assert {group.group_matcher()(name) for name, _ in group.named_parameters()} == {(float("inf"),)}


def test_a_matcher_that_is_a_function_is_asked_by_the_networks_own_names():
    class Numbered(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))

        def group_matcher(self, coarse=False):
            return lambda name: int(name[0]) // (2 if coarse else 1)

    group = sg.StudyGroup(Numbered(), sg.routes.independent(students=2), init=Numbered)
    for coarse in (False, True):
        place = group.group_matcher(coarse)
        found = {name: place(name) for name, _ in group.named_parameters()}
        assert {name: places[0] for name, places in found.items()} == {
            name: (0 if name.split(".")[-2] == "0" else 1 if coarse else 2) for name in found
        }
