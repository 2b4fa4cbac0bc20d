"""Self-distillation's loss, gradient and average against loops in float64, from Tarvainen & Valpola 2017."""

import copy
import math

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.loops import CLASSES, ROWS, answers, batch, build, constant, hard, kl, log_psi, networks


def make(**options) -> sg.CollaborativeLearning:
    torch.manual_seed(0)
    return sg.recipes.self_distillation(build(), **options).double()


def train(task, *, steps: int, passes: int = 1) -> None:
    """Some updates, each of so many passes whose gradients add up."""
    x, y = batch()
    optimiser = torch.optim.SGD([p for p in task.parameters() if p.requires_grad], lr=0.5)
    for _ in range(steps):
        optimiser.zero_grad()
        for _ in range(passes):
            task(x, y).total.backward()
        optimiser.step()
    optimiser.zero_grad()


@pytest.mark.parametrize("progress", [0.1, 0.5])
@pytest.mark.parametrize(
    ("options", "weight", "temperature", "factor"),
    [
        ({}, 1, 1.0, 1),
        ({"weight": 2.5, "temperature": 3.0}, 2.5, 3.0, 9),
        ({"temperature": 3.0, "scale_by_t2": False}, 1, 3.0, 1),
    ],
)
def test_the_loss_and_its_gradient_are_the_equations(options, weight, temperature, factor, progress):
    task = make(**options)
    train(task, steps=2)
    x, y = batch()
    (net,), average = networks(task), task.shipped.export(0)
    z, mean = answers([net], x)[0], answers([average], x)[0]
    ramp = math.exp(-5 * (1 - progress / (80 / 300)) ** 2) if progress < 80 / 300 else 1.0
    soft = 0
    for n in range(ROWS):
        target = constant(log_psi(mean[n], temperature))
        soft = soft + factor * kl(target, log_psi(z[n], temperature)) / ROWS
    total = hard(z) + weight * ramp * soft
    total.backward()

    losses = task(x, y, progress=progress)
    losses.total.backward()
    assert soft > 1e-5
    torch.testing.assert_close(losses.total, total)
    torch.testing.assert_close(losses.imitation[0], soft)
    student = task.group.model.bank[0]
    for (name, own), expected in zip(student.named_parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(own.grad, expected.grad, msg=name)
    assert all(p.grad is None for p in task.shipped.parameters())


@pytest.mark.parametrize("passes", [1, 3])
def test_the_average_moves_once_per_update(passes):
    task = make(decay=0.6)
    expected = [p.detach().clone() for p in task.group.parameters()]
    for update in range(1, 6):
        train(task, steps=1, passes=passes)
        keep = min(1 - 1 / (update + 1), 0.6)
        for mean, own, ships in zip(
            expected, task.group.parameters(), task.shipped.parameters(), strict=True
        ):
            mean.mul_(keep).add_(own.detach(), alpha=1 - keep)
            torch.testing.assert_close(ships, mean)
    assert task.step == 5 * passes


def test_the_average_ships_or_the_network_does():
    x, _ = batch()
    for ships in ("average", "network"):
        task = make(ships=ships)
        train(task, steps=3)
        task.eval()
        net = task.shipped.export(0)
        assert type(net) is nn.Sequential
        assert list(net.state_dict()) == list(build().state_dict())
        assert all(p.requires_grad for p in net.parameters())
        torch.testing.assert_close(net(x), task.shipped(x).logits[0])
        same = torch.equal(task.shipped(x).logits, task.group(x).logits)
        assert same == (ships == "network")
        averages = task.teachers[0].of
        assert not torch.equal(averages(x).logits, task.group(x).logits)  # it teaches whichever ships


def test_network_and_average_drop_units_of_their_own():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 60), nn.Dropout(0.5), nn.Linear(60, CLASSES))
    task = sg.recipes.self_distillation(net).double().train()
    x, y = batch()
    assert task(x, y).imitation > 1e-4  # equal weights, unequal noise
    assert task.eval()(x, y).imitation.abs() < 1e-12


def test_a_state_dict_brings_network_average_and_counter_back():
    task, other = make(), make()
    train(task, steps=3)
    other.load_state_dict(copy.deepcopy(task.state_dict()))
    for one in (task, other):
        train(one, steps=2)
    assert other.teachers[0].of.updates == 5
    for (name, a), b in zip(task.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_what_ships_is_one_of_two(unchecked):
    with pytest.raises(ValueError, match="ships='averages'"):
        make(ships="averages")


def test_the_papers_are_cited():
    cited = sg.citation(make())
    assert "tarvainen2017mean" in cited
    assert "laine2017temporal" in cited
