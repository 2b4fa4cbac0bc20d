"""Auxiliary training and self distillation against loops in float64, written from the papers."""

import copy

import torch
from loops import LABELS, ROWS, assert_all_learn, batch, build, constant, hard, kl, log_psi

import studygroup as sg

LAYERS = ("0", "2")


def inner(net, x):
    """Outputs of the two named layers, features, answers; row by row."""
    rows = []
    for n in range(ROWS):
        first = net[0](x[n])
        second = net[2](net[1](first))
        features = net[3](second)
        rows.append(([first, second], features, net[4](features)))
    return rows


def check(task, net, part, losses, total):
    total.backward()
    losses.total.backward()
    torch.testing.assert_close(losses.total, total)
    for own, expected in zip(task.group.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(own.grad, expected.grad)
    for own, expected in zip(task.auxiliary.parameters(), part.parameters(), strict=True):
        torch.testing.assert_close(own.grad, expected.grad)
    assert_all_learn(task)


def test_auxiliary_training():
    torch.manual_seed(0)
    task = sg.recipes.auxiliary_training(build(), inner=LAYERS, example=torch.randn(2, 4)).double()
    x, y = batch()
    net, part = task.group.export(0), copy.deepcopy(task.auxiliary[0])
    rows = inner(net, x)
    total = hard([z for _, _, z in rows])
    for i in range(2):
        for n in range(ROWS):
            total = total - 0.3 * log_psi(part.heads[i](rows[n][0][i]))[LABELS[n]] / ROWS
    check(task, net, part, task(x, y), total)


def test_self_distillation():
    torch.manual_seed(0)
    task = sg.recipes.byot(build(), inner=LAYERS, example=torch.randn(2, 4)).double()
    x, y = batch()
    net, part = task.group.export(0), copy.deepcopy(task.auxiliary[0])
    rows = inner(net, x)
    total = hard([z for _, _, z in rows])
    for i in range(2):
        for n in range(ROWS):
            hidden, features, z = rows[n]
            own = part.fit[i](hidden[i])
            answer = part.heads[i](own)
            soft = kl(constant(log_psi(z, 3.0)), log_psi(answer, 3.0))
            hint = sum((a - b) ** 2 for a, b in zip(own, features.detach(), strict=True))
            total = total + (-0.7 * log_psi(answer)[LABELS[n]] + 0.3 * soft + 0.03 * hint) / ROWS
    check(task, net, part, task(x, y), total)


def test_inner_classifiers_do_not_ship_and_are_told_apart():
    task = sg.recipes.byot(build(), inner=LAYERS, example=torch.randn(2, 4))
    x, y = batch()
    losses = task(x.float(), y)
    assert list(task.group.export(0).state_dict()) == list(build().state_dict())
    torch.testing.assert_close(losses.total, losses.supervised.sum() + losses.auxiliary["inner"])


def test_inner_classifiers_work_inside_any_group():
    torch.manual_seed(0)
    group = sg.StudyGroup(build(), sg.routes.branches(["2", "4"], students=3))
    part = sg.auxiliary.InnerClassifiers({"2": 6}, classes=7, weight=1.0)
    task = sg.CollaborativeLearning(group, auxiliary=[part])
    x, y = batch()
    value = task(x.float(), y, owner=[0, 1, 0, 1, 0]).auxiliary["inner"]
    expected = 0
    for student, own in ((0, [0, 2, 4]), (1, [1, 3])):
        hidden = group.export(student)[:3](x[own].float())
        expected = expected + torch.nn.functional.cross_entropy(part.heads[0](hidden), y[own])
    torch.testing.assert_close(value, expected)
