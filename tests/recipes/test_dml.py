"""DML's loss and gradient against loops in float64, written from Zhang et al. 2018."""

import torch
from loops import (
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
from torch import nn

import studygroup as sg


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
    assert (task.group.students, task.temperature, task.detach, task.scale_by_t2) == (3, 1.0, True, False)
    assert (task.reduction, task.imitation_weight(0.0)) == ("sum", 1.0)
    weights = [module[0].weight for module in task.group.model.bank]
    assert len({weight.data_ptr() for weight in weights}) == 3
    assert not torch.equal(weights[0], weights[1])
