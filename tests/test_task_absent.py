"""A student without rows in a step stays as it is: neither momentum nor weight decay moves it in one process."""

import copy

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.tasks import batch, smooth
from studygroup.objectives import Imitation, Supervised
from studygroup.teachers import Averages, MeanOfOthers, Self

ROWS, STUDENTS, ABSENT = 16, 4, 1
LAYERS = ["0", "2", "4"]
OTHERS = torch.arange(ROWS) % (STUDENTS - 1)
OTHERS = torch.where(OTHERS >= ABSENT, OTHERS + 1, OTHERS)
ALL = torch.arange(ROWS) % STUDENTS

BRANCH = {"layers": ["4"], "example": batch()[0], "init": smooth, "students": STUDENTS}
SHARED = {"students": STUDENTS, "init": smooth}
RECIPES = {
    "cgl": lambda: sg.recipes.cgl(smooth(), layers=LAYERS, **SHARED),
    "cgl, peers constant": lambda: sg.recipes.cgl(
        smooth(), layers=LAYERS, modules=4, peers_gradient=False, **SHARED
    ),
    "cgl, in one pass": lambda: sg.recipes.cgl(
        smooth(), layers=LAYERS, modules=4, peers="joint", peers_gradient=False, probability=0.8, **SHARED
    ),
    "cgl, in one pass, peers move": lambda: sg.recipes.cgl(
        smooth(), layers=LAYERS, peers="joint", probability=0.3, **SHARED
    ),
    "cgl, peers in eval": lambda: sg.recipes.cgl(
        smooth(), layers=LAYERS, modules=4, peers="eval", peers_gradient=False, **SHARED
    ),
    "cl_ilr": lambda: sg.recipes.cl_ilr(smooth(), layers=["4"], **SHARED),
    "dml": lambda: sg.recipes.dml(smooth(), **SHARED),
    "dml of peers": lambda: sg.recipes.dml(sg.Peers([smooth() for _ in range(STUDENTS)])),
    "ffl": lambda: sg.recipes.ffl(smooth(), **BRANCH),
    "kdcl": lambda: sg.recipes.kdcl(smooth(), **SHARED),
    "multi_instance": lambda: sg.recipes.multi_instance(smooth(), **SHARED),
    "okddip": lambda: sg.recipes.okddip(smooth(), **BRANCH),
    "one": lambda: sg.recipes.one(smooth(), **BRANCH),
    "pcl": lambda: sg.recipes.pcl(smooth(), **BRANCH),
    "tree": lambda: sg.recipes.tree(
        smooth(), table={"2": [0, 0, 1, 1], "4": [0, 1, 2, 3]}, init=smooth
    ),
}  # fmt: skip
CONSTANT = ("cgl, peers constant", "cgl, in one pass", "cgl, peers in eval", "dml", "dml of peers", "kdcl")
OPTIMISERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.5),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.5),
}


def alone(group: sg.Group, student: int) -> list[nn.Parameter]:
    """The parameters that only one student uses."""
    others = {
        id(p) for other in range(group.students) if other != student for p in group.parameters_of(other)
    }
    return [p for p in group.parameters_of(student) if id(p) not in others]


def backward(task: sg.CollaborativeLearning, owner: torch.Tensor, number: int = 0, progress=1.0) -> None:
    torch.manual_seed(number)
    x, y = batch()
    task(x + number, y, owner=owner, progress=progress).total.backward()


@pytest.fixture(params=OPTIMISERS)
def build_optimiser(request):
    return OPTIMISERS[request.param]


@pytest.mark.parametrize("name", RECIPES)
def test_what_a_step_does_not_concern_is_bitwise_as_before(name, build_optimiser):
    torch.manual_seed(0)
    task = RECIPES[name]().train()
    optimiser = build_optimiser([p for p in task.parameters() if p.requires_grad])
    backward(task, ALL)
    optimiser.step()
    optimiser.zero_grad()
    before = [p.detach().clone() for p in task.group.parameters()]
    backward(task, OTHERS, 1)
    optimiser.step()
    for p, old in zip(task.group.parameters(), before, strict=True):
        assert torch.equal(p, old) == (p.grad is None)
        assert p.grad is None or p.grad.any()  # a zero would let momentum and decay move it
    own = alone(task.group, ABSENT)
    if name in CONSTANT:
        assert own
        assert all(p.grad is None for p in own)
        assert all(p.grad is not None for p in alone(task.group, ABSENT + 1))


def test_the_others_move_as_if_they_were_alone(build_optimiser):
    """Three students of four have rows: values are those of a group of three."""
    torch.manual_seed(0)
    four = sg.CollaborativeLearning(sg.Peers([smooth() for _ in range(4)]), [Supervised()])
    three = sg.CollaborativeLearning(
        sg.Peers([four.group.export(student) for student in (0, 2, 3)]), [Supervised()]
    )
    for task, owners in ((four, (OTHERS, OTHERS)), (three, (torch.arange(ROWS) % 3,) * 2)):
        optimiser = build_optimiser(task.parameters())
        for number, owner in enumerate(owners):
            optimiser.zero_grad()
            backward(task, owner, number)
            optimiser.step()
    for mine, its in ((0, 0), (2, 1), (3, 2)):
        for a, b in zip(four.group.parameters_of(mine), three.group.parameters_of(its), strict=True):
            torch.testing.assert_close(a, b)


def test_accumulated_gradients_of_an_absent_student_are_those_of_its_rows(build_optimiser):
    torch.manual_seed(0)
    task = RECIPES["dml"]().train()
    once = copy.deepcopy(task)
    backward(once, ALL)
    for owner in (ALL, OTHERS, OTHERS):  # rows in the first pass alone
        backward(task, owner)
    pairs = list(zip(alone(task.group, ABSENT), alone(once.group, ABSENT), strict=True))
    for many, one in pairs:
        torch.testing.assert_close(many.grad, one.grad)
    for one in (task, once):
        build_optimiser(one.parameters()).step()
    for many, one in pairs:
        torch.testing.assert_close(many, one)


def test_peers_who_are_asked_with_weight_zero_are_not_moved(build_optimiser):
    """At the start of a ramp nothing reaches those who are asked, though their answers may have a gradient."""
    torch.manual_seed(0)
    group = sg.StudyGroup(smooth(), sg.routes.independent(students=STUDENTS), init=smooth)
    imitation = Imitation(MeanOfOthers(), weight=lambda progress: progress, moves_teachers=True)
    task = sg.CollaborativeLearning(group, [Supervised(), imitation], rows=sg.Subsets())
    optimiser = build_optimiser(task.parameters())
    backward(task, ALL)
    optimiser.step()
    before = [p.detach().clone() for p in task.group.parameters()]
    optimiser.zero_grad()
    owner = torch.zeros(ROWS, dtype=torch.long)
    backward(task, owner, progress=0.0)
    optimiser.step()
    own = {id(p) for p in task.group.parameters_of(0)}
    for p, old in zip(task.group.parameters(), before, strict=True):
        assert torch.equal(p, old) == (id(p) not in own)


def test_an_absent_student_listens_to_its_average_again_when_it_has_rows():
    torch.manual_seed(0)
    group = sg.StudyGroup(smooth(), sg.routes.independent(students=2), init=smooth)
    averages = Averages(group, decay=0.5)
    task = sg.CollaborativeLearning(group, [Supervised(), Imitation(Self(of=averages))], exports=averages)
    optimiser = torch.optim.SGD(group.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for owner in (torch.arange(ROWS) % 2, torch.zeros(ROWS).long(), torch.arange(ROWS) % 2):
        own = [p.detach().clone() for p in group.parameters_of(1)]
        optimiser.zero_grad()
        backward(task, owner)
        optimiser.step()
        moved = [not torch.equal(p, old) for p, old in zip(group.parameters_of(1), own, strict=True)]
        assert all(moved) if (owner == 1).any() else not any(moved)


def test_parameters_ask_for_gradients_as_before():
    task = sg.recipes.cgl(
        smooth(), layers=LAYERS, peers="joint", peers_gradient=False, probability=1.0, **SHARED
    ).train()
    task.group.model[0].requires_grad_(False)
    before = [p.requires_grad for p in task.parameters()]
    backward(task, OTHERS)
    assert [p.requires_grad for p in task.parameters()] == before
