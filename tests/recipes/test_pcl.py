"""PCL's loss and gradient against loops in float64, written from Wu & Gong 2021."""

import copy
import math

import pytest
import torch

import studygroup as sg
from helpers.loops import (
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
from helpers.parts import objective

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
    task = moved(make(detach=detach)).eval()
    x, y = batch()
    (fused,) = objective(task, "ensemble").teachers
    nets, linear = networks(task), copy.deepcopy(fused.linear)
    z, mean = answers(nets, x), answers(averages(task), x)
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
    for own, expected in zip(fused.parameters(), linear.parameters(), strict=True):
        torch.testing.assert_close(own.grad, expected.grad)


def test_an_average_keeps_a_growing_share_of_itself():
    task = make(decay=0.6)
    x, y = batch()
    optimiser = torch.optim.SGD([p for p in task.parameters() if p.requires_grad], lr=0.5)
    expected = task.group.model[2].bank[1].weight.detach().clone()
    for update in range(1, 6):
        optimiser.zero_grad()
        task(x, y).total.backward()
        optimiser.step()
        keep = min(1 - 1 / (update + 1), 0.6)
        expected = keep * expected + (1 - keep) * task.group.model[2].bank[1].weight.detach()
        torch.testing.assert_close(task.shipped.copies("2")[1].weight, expected)


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
    assert int(task.shipped.copies("1")[0].num_batches_tracked) == 1
    torch.testing.assert_close(task.shipped.copies("1")[0].running_mean, task.group.model[1].running_mean)


def test_a_decay_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"decay is 1\.5"):
        make(decay=1.5)


def test_the_defaults():
    task = make()
    ramp = pytest.approx(math.exp(-5))
    assert task.weights(0.0) == {"supervised": 1.0, "imitation": ramp, "ensemble": 1.0, "mean_teachers": ramp}
    assert (task.group.students, task.reduction, task.shipped.decay) == (3, "sum", 0.999)
    for name, of, aggregate in (
        ("imitation", None, "logits"),
        ("mean_teachers", task.shipped, "divergences"),
    ):
        imitation = objective(task, name)
        assert (imitation.temperature, imitation.scale_by_t2, imitation.moves_teachers) == (3.0, True, False)
        assert (imitation.teachers[0].of, imitation.aggregate) == (of, aggregate)
