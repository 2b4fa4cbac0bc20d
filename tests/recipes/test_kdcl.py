"""KDCL's loss and gradient against loops in float64, written from Guo et al. 2020 (naive and minlogit)."""

import pytest
import torch
from loops import (
    CLASSES,
    LABELS,
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

import studygroup as sg
from studygroup.listen import BestStudent, MinLogit


def naive(z, n):
    return z[min(range(STUDENTS), key=lambda k: -log_psi(z[k][n])[LABELS[n]].item())][n]


def least(z, n):
    relative = [[z[k][n][c] - z[k][n][LABELS[n]] for c in range(CLASSES)] for k in range(STUDENTS)]
    return [min((relative[k][c] for k in range(STUDENTS)), key=float) for c in range(CLASSES)]


@pytest.mark.parametrize(("teacher", "by_loop"), [(BestStudent, naive), (MinLogit, least)])
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
def test_the_loss_and_its_gradient_are_the_papers(teacher, by_loop):
    torch.manual_seed(0)
    task = sg.recipes.kdcl(build(), teacher=teacher, temperature=2.0, weight=0.7).double()
    x, y = batch()
    nets = networks(task)
    z = answers(nets, x)
    total = sum(hard(z[k]) for k in range(STUDENTS))
    for n in range(ROWS):
        target = constant(log_psi(by_loop(z, n), 2.0))
        for k in range(STUDENTS):
            total = total + 0.7 * 4 * kl(target, log_psi(z[k][n], 2.0)) / ROWS
    total.backward()
    losses = task(x, y)
    losses.total.backward()
    torch.testing.assert_close(losses.total, total)
    assert_equal_gradients(task, nets, ("",))
    assert_all_learn(task)


def test_the_least_logits_beat_every_student():
    torch.manual_seed(0)
    task = sg.recipes.kdcl(build()).double()
    x, y = batch()
    outputs = task.group(x)
    teacher = task.listen.answers(outputs, y)[0]
    loss = torch.nn.functional.cross_entropy
    assert loss(teacher, y) <= min(loss(z, y) for z in outputs.logits)


def test_students_of_different_capacity():
    wide = torch.nn.Sequential(torch.nn.Linear(4, 9), torch.nn.ReLU(), torch.nn.Linear(9, CLASSES))
    task = sg.recipes.kdcl(sg.Peers([build(), wide]))
    x, y = batch()
    assert task(x.float(), y).total.isfinite()
