"""Every recipe on every kind of network: what must hold whatever the method."""

import copy

import pytest
import torch
from networks import CASES, CLASSES, Case

import studygroup as sg

RECIPES = {
    "baseline": lambda case: sg.recipes.baseline(case.build()),
    "cgl": lambda case: sg.recipes.cgl(case.build(), layers=case.blocks, students=4, init=case.build),
}
NETWORKS = ("resnet", "timm_vit", "bert", "mlp")


@pytest.fixture(params=RECIPES)
def recipe(request):
    return RECIPES[request.param]


@pytest.fixture(params=NETWORKS)
def case(request) -> Case:
    return CASES[request.param]


def step(task: sg.CollaborativeLearning, case: Case, number: int = 0) -> torch.Tensor:
    """One training step; dropout depends on its number alone."""
    torch.manual_seed(number)
    y = torch.arange(8) % CLASSES
    subsets = isinstance(task.rows, sg.Subsets)
    owner = torch.arange(8) % task.group.students if subsets else None
    return task(case.inputs(8), y, owner=owner, progress=0.5).total


def test_every_trainable_parameter_gets_a_gradient(recipe, case):
    task = recipe(case).train()
    step(task, case).backward()
    assert [name for name, p in task.named_parameters() if p.requires_grad and p.grad is None] == []


def test_exports_have_the_original_keys_and_the_same_logits(recipe, case):
    task = recipe(case).train()
    step(task, case).backward()
    task.eval()
    x = case.inputs(3)
    with torch.no_grad():
        logits = task.group(x).logits
        for student in range(task.group.students):
            network = task.group.export(student).eval()
            out = network(**x) if isinstance(x, dict) else network(x)
            torch.testing.assert_close(getattr(out, "logits", out), logits[student], atol=1e-5, rtol=1e-4)
            assert list(network.state_dict()) == list(case.build().state_dict())


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


def test_a_small_loss_is_reached_on_eight_rows(recipe):
    """The method trains: plain Adam takes the loss down on an MLP."""
    case = CASES["mlp"]
    torch.manual_seed(0)
    task = recipe(case).train()
    optimiser = torch.optim.Adam(task.parameters(), lr=1e-2)
    losses = []
    for number in range(60):
        optimiser.zero_grad()
        loss = step(task, case, number)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
