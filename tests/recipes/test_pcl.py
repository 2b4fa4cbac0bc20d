"""PCL's loss and gradient against loops in float64, written from Wu & Gong 2021."""

import copy
import math

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
    assert_own_parameters,
    batch,
    build,
    constant,
    hard,
    kl,
    log_psi,
    networks,
)

import studygroup as sg

LAYERS = ("2", "4")


def make(**options) -> sg.CollaborativeLearning:
    torch.manual_seed(0)
    return sg.recipes.pcl(build(), layers=LAYERS, example=torch.randn(2, 4), **options).double()


def features(net, row):
    for layer in net[:-1]:
        row = layer(row)
    return row


def averages(task) -> list[torch.nn.Module]:
    return [task.shipped.export(student) for student in range(STUDENTS)]


def moved(task) -> sg.CollaborativeLearning:
    """The same task two steps later, with averages that differ from the students."""
    x, y = batch()
    optimiser = torch.optim.SGD([p for p in task.parameters() if p.requires_grad], lr=0.5)
    for _ in range(2):
        optimiser.zero_grad()
        task(x, y).total.backward()
        optimiser.step()
    optimiser.zero_grad()
    return task


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("progress", [0.1, 0.5])
def test_the_loss_and_its_gradient_are_the_papers(detach, progress):
    task = moved(make(detach=detach)).eval()  # in eval the averages stay where they are
    x, y = batch()
    nets, linear, teachers = networks(task), copy.deepcopy(task.listen.linear), averages(task)
    z, mean = answers(nets, x), answers(teachers, x)
    ramp = math.exp(-5 * (1 - progress / (80 / 300)) ** 2) if progress < 80 / 300 else 1.0
    ensemble, taught, total = 0, 0, sum(hard(z[k]) for k in range(STUDENTS))
    for n in range(ROWS):
        h = torch.cat([features(net, x[n]) for net in nets])
        z_e = [
            sum(linear.weight[c, d] * h[d] for d in range(len(h))) + linear.bias[c] for c in range(CLASSES)
        ]
        ensemble = ensemble - log_psi(z_e)[LABELS[n]] / ROWS
        target = log_psi(z_e, 3.0)
        for k in range(STUDENTS):
            own = log_psi(z[k][n], 3.0)
            total = total + ramp * 9 * kl(constant(target) if detach else target, own) / ROWS
            for j in range(STUDENTS):
                if j != k:
                    taught = taught + 9 * kl(constant(log_psi(mean[j][n], 3.0)), own) / (STUDENTS - 1) / ROWS
    total = total + ensemble + ramp * taught
    total.backward()

    losses = task(x, y, progress=progress)
    losses.total.backward()
    torch.testing.assert_close(losses.total, total)
    torch.testing.assert_close(losses.auxiliary["ensemble"], ensemble)
    torch.testing.assert_close(losses.auxiliary["mean_teachers"], taught)
    assert_equal_gradients(task, nets, LAYERS)
    for own, expected in zip(task.listen.parameters(), linear.parameters(), strict=True):
        torch.testing.assert_close(own.grad, expected.grad)


def test_an_average_keeps_a_growing_share_of_itself():
    task = make(decay=0.6)
    x, y = batch()
    expected = None
    for step in range(1, 6):
        weight = task.group.model[2].bank[1].weight.detach().clone()
        keep = min(1 - 1 / step, 0.6)
        expected = weight if step == 1 else keep * expected + (1 - keep) * weight
        task(x, y)
        torch.testing.assert_close(task.shipped.model[2].bank[1].weight, expected)
        with torch.no_grad():
            task.group.model[2].bank[1].weight.add_(torch.randn(6, 6, dtype=torch.float64))


def test_the_averages_ship_and_none_of_them_learns():
    task = moved(make())
    x, _ = batch()
    task.eval()
    own, shipped = task.group(x).logits, task.shipped(x).logits
    assert not torch.allclose(own, shipped)
    torch.testing.assert_close(task.shipped.export(1).eval()(x), shipped[1])
    assert not any(p.requires_grad for p in task.shipped.parameters())


def test_every_part_learns_and_branches_are_their_own():
    task = make()
    assert_own_parameters(task, LAYERS)
    x, y = batch()
    task(x, y).total.backward()
    assert_all_learn(task)


def test_batch_norm_statistics_of_the_averages_are_their_own():
    net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6), torch.nn.Linear(6, CLASSES))
    task = sg.recipes.pcl(net, layers=["2"], example=torch.randn(2, 4))
    x, y = batch()
    task(x.float(), y)
    assert int(task.shipped.model[1].num_batches_tracked) == 1
    torch.testing.assert_close(task.shipped.model[1].running_mean, task.group.model[1].running_mean)


def test_a_decay_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"decay 1\.5"):
        make(decay=1.5)


def test_the_defaults():
    task = make()
    assert (task.group.students, task.temperature, task.scale_by_t2, task.detach) == (3, 3.0, True, True)
    assert (task.reduction, task.ensemble_weight(0.0), task.auxiliary[0].decay) == ("sum", 1.0, 0.999)
    assert task.imitation_weight(0.0) == task.auxiliary[0].weight(0.0) == pytest.approx(math.exp(-5))
