"""States of version 0.1.0, whose names are written down here as that version wrote them."""

import copy

import pytest
import torch
from torch import nn

import studygroup as sg
from studygroup._engine.migrate import upgraded


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))


def dropping() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Dropout(0.5), nn.Linear(3, 2))


X = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
WEIGHTS = ("weight", "bias")

RECIPES = {
    "one": lambda: sg.recipes.one(net(), layers=["2"], example=X),
    "okddip": lambda: sg.recipes.okddip(net(), layers=["2"], example=X),
    "kdcl": lambda: sg.recipes.kdcl(net(), teacher=sg.teachers.GeneralTeacher),
    "byot": lambda: sg.recipes.byot(net(), inner=["0"], example=X),
    "intra": lambda: sg.recipes.intra(
        dropping(), example=X, out=1.0, mid=1.0, kernel=1.0, inner=["0"], kernels=["0"]
    ),
    "pcl": lambda: sg.recipes.pcl(net(), layers=["2"], example=X),
    "cgl": lambda: sg.recipes.cgl(net(), layers=["0"], students=2),
}

# what 0.1.0 held beside the group's own state, whose names are the same: old name to new
BESIDE = {
    "one": {
        **{f"listen.{name}": f"teachers.0.{name}" for name in ("linear.weight", "norm.weight", "norm.bias")},
        "listen.norm.running_mean": "teachers.0.norm.running_mean",
        "listen.norm.running_var": "teachers.0.norm.running_var",
        "listen.norm.num_batches_tracked": "teachers.0.norm.num_batches_tracked",
    },
    "okddip": {f"listen.{name}.weight": f"teachers.0.{name}.weight" for name in ("query", "key")},
    "kdcl": {"listen.products": "teachers.0.products"},
    "byot": {
        f"auxiliary.0.{name}.{kind}": f"objectives.1.{name}.{kind}"
        for name in ("fit.0.linear", "heads.0")
        for kind in WEIGHTS
    },
    "intra": {
        f"auxiliary.0.heads.0.{layer}.{kind}": f"objectives.2.heads.0.{layer}.{kind}"
        for layer in (0, 1)
        for kind in WEIGHTS
    },
    "pcl": {
        **{f"listen.linear.{kind}": f"teachers.0.linear.{kind}" for kind in WEIGHTS},
        **{
            f"auxiliary.0.averages.model.{layer}.{kind}": f"sources.0.model.model.{layer}.{kind}"
            for layer in ("0", "2.bank.0", "2.bank.1", "2.bank.2")
            for kind in WEIGHTS
        },
    },
    "cgl": {},
}


def drawn(name: str, seed: int) -> sg.CollaborativeLearning:
    """A task of a recipe whose whole state, averages and statistics too, is its own."""
    torch.manual_seed(seed)
    task = RECIPES[name]()
    for value in (*task.parameters(), *task.buffers()):
        value.data.copy_(torch.rand(value.shape) * 9 + 1)
    return task


def old_state(task: sg.CollaborativeLearning, name: str, *, steps: int) -> dict[str, object]:
    """The task's state as 0.1.0 would have written it."""
    new = copy.deepcopy(task.state_dict())
    old = {"_extra_state": {"step": steps}}
    old |= {key: value for key, value in new.items() if key.startswith("group.")}
    old |= {before: new[after] for before, after in BESIDE[name].items()}
    if name == "pcl":
        old["auxiliary.0._extra_state"] = {"steps": steps}
    return old


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("inside", [False, True])
def test_a_state_of_0_1_0_is_loaded_whole(name, inside):
    """By the task, and by a module that holds it, as a Lightning module does."""
    task, other = drawn(name, 1), drawn(name, 2)
    old = old_state(task, name, steps=7)
    if inside:
        nn.ModuleDict({"task": other}).load_state_dict({f"task.{key}": value for key, value in old.items()})
    else:
        other.load_state_dict(old)
    assert other.step == 7
    expected = task.state_dict()
    for key, value in other.state_dict().items():
        if not key.endswith("_extra_state"):
            assert torch.equal(value, expected[key]), key
    if name == "pcl":
        assert other.shipped.updates == 6  # the seventh was to come


@pytest.mark.parametrize("name", RECIPES)
def test_a_state_of_this_version_is_taken_as_it_is(name):
    task = drawn(name, 1)
    state = task.state_dict()
    assert upgraded(state, [one.name for one in task.objectives]) == state


def test_objectives_are_found_by_their_places_among_those_that_are_not_labels_or_imitation():
    old = {"auxiliary.0.heads.0.weight": 1, "auxiliary.1.heads.0.weight": 2, "listen.key": 3, "group.a": 4}
    assert upgraded(old, ["mid", "supervised", "ensemble", "imitation", "pull_push"]) == {
        "objectives.0.heads.0.weight": 1,
        "objectives.4.heads.0.weight": 2,
        "teachers.0.key": 3,
        "group.a": 4,
    }
    more = {"auxiliary.2.heads.0.weight": 1}  # of another task: left, for whoever loads it to refuse
    assert upgraded(more, ["mid", "pull_push"]) == more


def test_what_a_state_does_not_hold_is_missed():
    task = drawn("byot", 1)
    old = old_state(task, "byot", steps=1)
    old.pop("auxiliary.0.heads.0.bias")
    with pytest.raises(RuntimeError, match=r"Missing key.*objectives\.1\.heads\.0\.bias"):
        task.load_state_dict(old)
    old["auxiliary.0.heads.0.bias"] = torch.zeros(2)
    old["listen.query.weight"] = torch.zeros(1, 3)
    with pytest.raises(RuntimeError, match=r"Unexpected key.*teachers\.0\.query\.weight"):
        task.load_state_dict(old)
