"""ONE's loss and gradient against loops in float64, written from Lan et al. 2018 and its public code."""

import copy
import math

import pytest
import torch

import studygroup as sg
from helpers.loops import (
    LABELS,
    ROWS,
    STUDENTS,
    answers,
    assert_all_learn,
    assert_equal_gradients,
    assert_own_parameters,
    batch,
    build,
    constant,
    hard,
    kl,
    log_psi,
    networks,
)

LAYERS = ("2", "4")


def make(**options) -> sg.CollaborativeLearning:
    torch.manual_seed(0)
    task = sg.recipes.one(build(), layers=LAYERS, example=torch.randn(2, 4), **options).double()
    task.teachers[0].norm.bias.data += 0.5  # so that the ReLU lets most of the gate through
    return task


def gate_by_loop(rule, trunk) -> list[list[torch.Tensor]]:
    """softmax(ReLU(BN(Linear(h)))), the norm over the rows of the batch."""
    raw = [
        [sum(rule.linear.weight[k, d] * trunk[n, d] for d in range(6)) for k in range(STUDENTS)]
        for n in range(ROWS)
    ]
    gates = [[None] * STUDENTS for _ in range(ROWS)]
    for k in range(STUDENTS):
        mean = sum(raw[n][k] for n in range(ROWS)) / ROWS
        variance = sum((raw[n][k] - mean) ** 2 for n in range(ROWS)) / ROWS
        for n in range(ROWS):
            value = (raw[n][k] - mean) / torch.sqrt(variance + rule.norm.eps)
            value = value * rule.norm.weight[k] + rule.norm.bias[k]
            gates[n][k] = value if value > 0 else value * 0
    return [[torch.exp(v) / sum(torch.exp(u) for u in row) for v in row] for row in gates]


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("progress", [0.1, 0.5])
def test_the_loss_and_its_gradient_are_the_papers(detach, progress):
    task = make(detach=detach)
    x, y = batch()
    nets, rule = networks(task), copy.deepcopy(task.teachers[0])
    z = answers(nets, x)
    # the trunk is one tensor in the group and three equal ones in the networks: the gate's share goes to the first
    gates = gate_by_loop(rule, nets[0][1](nets[0][0](x)))
    ramp = math.exp(-5 * (1 - progress / (80 / 300)) ** 2) if progress < 80 / 300 else 1.0
    ensemble, total = 0, sum(hard(z[k]) for k in range(STUDENTS))
    for n in range(ROWS):
        z_e = sum(gates[n][k] * z[k][n] for k in range(STUDENTS))
        ensemble = ensemble - log_psi(z_e)[LABELS[n]] / ROWS
        target = log_psi(z_e, 3.0)
        for k in range(STUDENTS):
            total = (
                total + ramp * 9 * kl(constant(target) if detach else target, log_psi(z[k][n], 3.0)) / ROWS
            )
    total = total + ensemble
    total.backward()

    losses = task(x, y, progress=progress)
    losses.total.backward()
    torch.testing.assert_close(losses.total, total)
    torch.testing.assert_close(losses.auxiliary["ensemble"], ensemble)
    assert_equal_gradients(task, nets, LAYERS)
    for own, expected in zip(task.teachers[0].parameters(), rule.parameters(), strict=True):
        torch.testing.assert_close(own.grad, expected.grad)
    assert_all_learn(task)


def test_branches_have_parameters_of_their_own():
    assert_own_parameters(make(), LAYERS)


def test_the_papers_defaults():
    task = make()
    imitation = task.objectives[1]
    assert (task.group.students, imitation.temperature, imitation.scale_by_t2) == (3, 3.0, True)
    assert (imitation.moves_teachers, imitation.aggregate, task.reduction) == (False, "logits", "sum")
    assert task.weights(0.0) == {"supervised": 1.0, "imitation": pytest.approx(math.exp(-5)), "ensemble": 1.0}
    assert task.weights(0.3)["imitation"] == 1.0
    assert task.teachers[0].linear.in_features == 6
