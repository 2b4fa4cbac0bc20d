"""Every recipe on every kind of network: what must hold whatever the method."""

import copy

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.networks import CASES, CLASSES, OURS, Case, binary, inner, kernels


def intra(case: Case) -> sg.CollaborativeLearning:
    """All parts that the network has the layers for."""
    net = case.build()
    drops = any(isinstance(module, nn.Dropout) and module.p for module in net.modules())
    return sg.recipes.intra(
        net,
        example=case.inputs(2),
        out=float(drops),
        mid=1.0,
        pull_push=0.01,
        kernel=0.01,
        inner=inner(case),
        source=case.source,
        kernels=kernels(net),
    )


RECIPES = {
    "auxiliary_training": lambda case: sg.recipes.auxiliary_training(
        case.build(), inner=inner(case), example=case.inputs(2)
    ),
    "baseline": lambda case: sg.recipes.baseline(case.build()),
    "byot": lambda case: sg.recipes.byot(case.build(), inner=inner(case), example=case.inputs(2)),
    "cgl": lambda case: sg.recipes.cgl(case.build(), layers=case.blocks, students=4, init=case.build),
    "cl_ilr": lambda case: sg.recipes.cl_ilr(case.build(), layers=case.branch, init=case.build),
    "distillation": lambda case: sg.recipes.distillation(
        case.build(), teacher=case.build(), example=case.inputs(2), alpha=0.1
    ),
    "dml": lambda case: sg.recipes.dml(case.build(), init=case.build),
    "ffl": lambda case: sg.recipes.ffl(
        case.build(), layers=case.branch, example=case.inputs(2), init=case.build
    ),
    "intra": intra,
    "kdcl": lambda case: sg.recipes.kdcl(case.build(), init=case.build),
    "kdcl_general": lambda case: sg.recipes.kdcl(
        case.build(), teacher=sg.teachers.GeneralTeacher, init=case.build
    ),
    "kdcl_linear": lambda case: sg.recipes.kdcl(
        case.build(), teacher=sg.teachers.LinearTeacher, init=case.build
    ),
    "multi_instance": lambda case: sg.recipes.multi_instance(case.build(), init=case.build),
    "okddip": lambda case: sg.recipes.okddip(
        case.build(), layers=case.branch, example=case.inputs(2), init=case.build
    ),
    "one": lambda case: sg.recipes.one(
        case.build(), layers=case.branch, example=case.inputs(2), init=case.build
    ),
    "pcl": lambda case: sg.recipes.pcl(
        case.build(), layers=case.branch, example=case.inputs(2), init=case.build
    ),
    "self_distillation": lambda case: sg.recipes.self_distillation(case.build()),
    "tree": lambda case: sg.recipes.tree(case.build(), table=binary(case), init=case.build),
}
FEW = ("resnet", "bert", "mlp")  # one of each kind; the others are long checks
NETWORKS = {name: CASES[name] for name in (*FEW, "timm_vit")} | OURS


def test_no_recipe_is_left_out():
    assert set(sg.recipes.__all__) <= set(RECIPES)


@pytest.fixture(params=RECIPES)
def recipe(request):
    return RECIPES[request.param]


@pytest.fixture(
    params=[pytest.param(name, marks=() if name in FEW else pytest.mark.long) for name in NETWORKS]
)
def case(request) -> Case:
    return NETWORKS[request.param]


def losses(task: sg.CollaborativeLearning, case: Case, number: int = 0) -> sg.Losses:
    """What one step costs; dropout depends on its number alone."""
    torch.manual_seed(number)
    y = torch.arange(8) % CLASSES
    subsets = isinstance(task.rows, sg.Subsets)
    owner = torch.arange(8) % task.group.students if subsets else None
    return task(case.inputs(8), y, owner=owner, progress=0.5)


def step(task: sg.CollaborativeLearning, case: Case, number: int = 0) -> torch.Tensor:
    return losses(task, case, number).total


def test_a_step_reaches_every_parameter_and_the_exports_have_its_logits(recipe, case):
    task = recipe(case).train()
    step(task, case).backward()
    assert [name for name, p in task.named_parameters() if p.requires_grad and p.grad is None] == []
    task.eval()
    x = case.inputs(3)
    with torch.no_grad():
        logits = task.group(x).logits
        for student in range(task.group.students):
            network = task.group.export(student).eval()
            out = network(**x) if isinstance(x, dict) else network(x)
            torch.testing.assert_close(getattr(out, "logits", out), logits[student], atol=1e-5, rtol=1e-4)
            assert list(network.state_dict()) == list(case.build().state_dict())


@pytest.mark.slow
def test_saving_loading_and_going_on_is_exact(recipe, case):
    torch.manual_seed(0)
    task = recipe(case).train()
    optimiser = torch.optim.Adam(task.parameters())

    def train(task, optimiser, numbers):
        for number in numbers:
            optimiser.zero_grad()
            step(task, case, number).backward()
            optimiser.step()

    train(task, optimiser, [1])
    saved = copy.deepcopy((task.state_dict(), optimiser.state_dict()))
    train(task, optimiser, [2, 3])
    torch.manual_seed(9)
    again = recipe(case).train()
    other = torch.optim.Adam(again.parameters())
    again.load_state_dict(saved[0])
    other.load_state_dict(saved[1])
    train(again, other, [2, 3])
    for (name, a), b in zip(task.state_dict().items(), again.state_dict().values(), strict=True):
        assert a == b if isinstance(a, dict) else torch.equal(a, b), name


@pytest.mark.slow
def test_eight_rows_are_learnt(recipe):
    """The method trains: plain Adam takes every student's own loss down on an MLP."""
    case = CASES["mlp"]
    torch.manual_seed(0)
    task = recipe(case).train()
    optimiser = torch.optim.Adam(task.parameters(), lr=1e-2)
    before = losses(task.eval(), case).supervised
    for number in range(60):
        optimiser.zero_grad()
        step(task.train(), case, number).backward()
        optimiser.step()
    assert (losses(task.eval(), case).supervised < 0.8 * before).all()
