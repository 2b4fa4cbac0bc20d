"""DML's loss and gradient against loops in float64, written from Zhang et al. 2018."""

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.loops import (
    CLASSES,
    ROWS,
    STUDENTS,
    answers,
    assert_all_learn,
    assert_equal_gradients,
    batch,
    build,
    constant,
    hard,
    kl,
    log_psi,
    networks,
)


def loop(z) -> list[torch.Tensor]:
    losses = []
    for k in range(STUDENTS):
        loss = hard(z[k])
        for j in range(STUDENTS):
            if j != k:
                for n in range(ROWS):
                    loss = loss + kl(constant(log_psi(z[j][n])), log_psi(z[k][n])) / (STUDENTS - 1) / ROWS
        losses.append(loss)
    return losses


def test_the_loss_and_its_gradient_are_the_papers():
    torch.manual_seed(0)
    task = sg.recipes.dml(build()).double()
    x, y = batch()
    nets = networks(task)
    expected = loop(answers(nets, x))
    sum(expected).backward()
    losses = task(x, y)
    losses.total.backward()
    torch.testing.assert_close(losses.supervised + losses.imitation, torch.stack(expected))
    torch.testing.assert_close(losses.total, sum(expected))
    assert_equal_gradients(task, nets, ("",))
    assert_all_learn(task)


@pytest.mark.parametrize("peers", [False, True])
@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.AdamW])
def test_in_turn_is_the_papers_algorithm(optimiser, peers):
    """Update one network, let it answer anew, update the next; nobody else moves, momentum and decay included."""
    torch.manual_seed(0)
    options = {"lr": 0.1, "weight_decay": 0.1} | ({"momentum": 0.9} if optimiser is torch.optim.SGD else {})
    model = sg.Peers([build() for _ in range(STUDENTS)]) if peers else build()
    task = sg.recipes.dml(model, in_turn=True).double()
    x, y = batch()
    nets = networks(task)
    own = [optimiser(net.parameters(), **options) for net in nets]
    together = optimiser(task.parameters(), **options)
    for _ in range(3):
        expected = []
        for k in range(STUDENTS):
            loss = loop(answers(nets, x))[k]
            own[k].zero_grad()
            loss.backward()
            own[k].step()
            expected.append(loss)
        found = []
        for losses in task.steps(x, y):
            together.zero_grad()
            losses.total.backward()
            moving = [p for p in task.parameters() if p.grad is not None]
            assert len(moving) == len(list(nets[0].parameters()))
            together.step()
            found.append(losses.total)
        torch.testing.assert_close(torch.stack(found), torch.stack(expected))
    for net, student in zip(nets, networks(task), strict=True):
        for a, b in zip(net.parameters(), student.parameters(), strict=True):
            torch.testing.assert_close(a, b)


def test_in_turn_counts_each_batch_once_for_each_norm():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, CLASSES))
    task = sg.recipes.dml(net, students=3, in_turn=True)
    x, y = batch()
    for _ in task.steps(x.float(), y):
        pass
    assert [module[1].num_batches_tracked.item() for module in task.group.model.bank] == [1, 1, 1]
    assert all(p.requires_grad for p in task.parameters())


def test_students_of_different_architectures():
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, CLASSES))
    task = sg.recipes.dml(sg.Peers([build(), wide, build()])).double()
    x, y = batch()
    nets = networks(task)
    expected = loop(answers(nets, x))
    sum(expected).backward()
    losses = task(x, y)
    losses.total.backward()
    torch.testing.assert_close(losses.total, sum(expected))
    for net, group in zip(nets, task.group.model, strict=True):
        for parameter, own in zip(net.parameters(), group.parameters(), strict=True):
            torch.testing.assert_close(own.grad, parameter.grad)


def test_the_papers_defaults():
    task = sg.recipes.dml(build())
    imitation = task.objectives[1]
    assert (task.group.students, imitation.temperature, imitation.aggregate) == (3, 1.0, "divergences")
    assert (imitation.moves_teachers, imitation.scale_by_t2, task.reduction) == (False, False, "sum")
    assert task.weights(0.0) == {"supervised": 1.0, "imitation": 1.0}
    weights = [module[0].weight for module in task.group.model.bank]
    assert len({weight.data_ptr() for weight in weights}) == 3
    assert not torch.equal(weights[0], weights[1])
