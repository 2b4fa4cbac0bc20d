"""Auxiliary training and self distillation against loops in float64, written from the papers."""

import copy

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.loops import (
    CRITERIA,
    LABELS,
    ROWS,
    assert_all_learn,
    batch,
    build,
    constant,
    criterion,
    hard,
    hard_by,
    kl,
    log_psi,
)

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
    for own, expected in zip(task.objectives[1].parameters(), part.parameters(), strict=True):
        torch.testing.assert_close(own.grad, expected.grad)
    assert_all_learn(task)


def test_auxiliary_training():
    torch.manual_seed(0)
    task = sg.recipes.auxiliary_training(build(), inner=LAYERS, example=torch.randn(2, 4)).double()
    x, y = batch()
    net, part = task.group.export(0), copy.deepcopy(task.objectives[1])
    rows = inner(net, x)
    total = hard([z for _, _, z in rows])
    for i in range(2):
        for n in range(ROWS):
            total = total - 0.3 * log_psi(part.heads[i](rows[n][0][i]))[LABELS[n]] / ROWS
    check(task, net, part, task(x, y), total)


def row_loss(answer, own, z, features, n) -> torch.Tensor:
    """(1−α) CE + α KL(deepest ‖ inner; T) + λ ‖F_i − F_C‖² of row n, α = 0.3, T = 3, λ = 0.03."""
    soft = kl(constant(log_psi(z, 3.0)), log_psi(answer, 3.0))
    hint = sum((a - b) ** 2 for a, b in zip(own, features.detach(), strict=True))
    return -0.7 * log_psi(answer)[LABELS[n]] + 0.3 * soft + 0.03 * hint


def test_self_distillation():
    torch.manual_seed(0)
    task = sg.recipes.byot(build(), inner=LAYERS, example=torch.randn(2, 4)).double()
    x, y = batch()
    net, part = task.group.export(0), copy.deepcopy(task.objectives[1])
    rows = inner(net, x)
    total = hard([z for _, _, z in rows])
    for i in range(2):
        for n in range(ROWS):
            hidden, features, z = rows[n]
            own = part.fit[i].linear(hidden[i])
            total = total + row_loss(part.heads[i](own), own, z, features, n) / ROWS
    check(task, net, part, task(x, y), total)


@pytest.mark.filterwarnings("ignore::studygroup.EqualStudentsWarning")
@pytest.mark.parametrize("options", CRITERIA.values(), ids=CRITERIA)
@pytest.mark.parametrize("recipe", ["auxiliary_training", "byot"])
def test_inner_classifiers_have_the_criterion_of_the_task(recipe, options):
    """Two students see each his own rows: class weights, smoothing and missing labels count as in their own loss."""
    torch.manual_seed(0)
    part = getattr(sg.recipes, recipe)(build(), inner=LAYERS, example=torch.randn(2, 4)).objectives[1]
    group = sg.StudyGroup(build(), sg.routes.branches(["4"], students=2), init="copy")
    task = sg.CollaborativeLearning(group, [sg.objectives.Supervised(criterion(**options)), part]).double()
    x, y = batch()
    losses = task(x, y, owner=[0, 1, 0, 1, 0])
    losses.total.backward()
    net, alone = group.export(0), copy.deepcopy(part)
    rows = inner(net, x)
    total = 0
    for seen in ([0, 2, 4], [1, 3]):
        labelled = [n for n in seen if LABELS[n] != options.get("ignore_index")]
        total = total + hard_by([z for _, _, z in rows], seen, **options)
        for i in range(2):
            if recipe == "byot":
                own = [alone.fit[i].linear(rows[n][0][i]) for n in range(ROWS)]
                total = total + 0.7 * hard_by([alone.heads[i](o) for o in own], seen, **options)
                for n in labelled:
                    _, features, z = rows[n]
                    taught = row_loss(alone.heads[i](own[n]), own[n], z, features, n)
                    label = -0.7 * log_psi(alone.heads[i](own[n]))[LABELS[n]]
                    total = total + (taught - label) / len(labelled)
            else:
                answered = [alone.heads[i](rows[n][0][i]) for n in range(ROWS)]
                total = total + 0.3 * hard_by(answered, seen, **options)
    torch.testing.assert_close(losses.total, total)
    total.backward()
    for own, expected in zip(part.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(own.grad, expected.grad)
    torch.testing.assert_close(group.model[0].weight.grad, net[0].weight.grad)


def convolutional() -> nn.Module:
    """Maps of 4×4 and of 2×2 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 7),
    )  # fmt: skip


def bottleneck_by_loop(part, maps) -> list[torch.Tensor]:
    """1×1, patches side by side, 1×1; batch norm over rows and pixels; the mean over pixels. Row by row."""
    maps = list(maps)
    for conv, norm, _ in part.layers:
        side, (height, width) = conv.kernel_size[0], maps[0].shape[1:]
        new = []
        for image in maps:
            pixels = [
                [
                    (conv.weight * image[:, i : i + side, j : j + side]).sum((1, 2, 3))
                    for j in range(0, width, side)
                ]
                for i in range(0, height, side)
            ]
            new.append(torch.stack([torch.stack(row, dim=1) for row in pixels], dim=1))
        count = len(new) * new[0].shape[1] * new[0].shape[2]
        mean = sum(image.sum((1, 2)) for image in new) / count
        centred = [image - mean[:, None, None] for image in new]
        variance = sum((image**2).sum((1, 2)) for image in centred) / count
        scale = norm.weight / torch.sqrt(variance + norm.eps)
        maps = [(image * scale[:, None, None] + norm.bias[:, None, None]).clamp(min=0) for image in centred]
    return [image.sum((1, 2)) / (image.shape[1] * image.shape[2]) for image in maps]


def test_self_distillation_through_bottlenecks():
    torch.manual_seed(0)
    example = torch.randn(2, 1, 4, 4)
    task = sg.recipes.byot(convolutional(), inner=LAYERS, example=example).double()
    x, y = torch.randn(ROWS, 1, 4, 4, dtype=torch.float64), torch.tensor(LABELS)
    net, part = task.group.export(0), copy.deepcopy(task.objectives[1])
    assert [fit.layers[1][0].stride for fit in part.fit] == [(2, 2), (1, 1)]
    first = net[0](x)
    second = net[2](net[1](first))
    features = [net[5](net[4](net[3](second[n : n + 1])))[0] for n in range(ROWS)]
    z = [net[6](row) for row in features]
    total = hard(z)
    for i, maps in enumerate((first, second)):
        own = bottleneck_by_loop(part.fit[i], maps)
        for n in range(ROWS):
            total = total + row_loss(part.heads[i](own[n]), own[n], z[n], features[n], n) / ROWS
    check(task, net, part, task(x, y), total)


def test_bottlenecks_are_for_maps_and_can_be_left_out():
    example = torch.randn(2, 1, 4, 4)
    for options in ({"convolutions": False}, {}):
        task = sg.recipes.byot(convolutional(), inner=["0", "5"], example=example, **options)
        kinds = [type(fit) for fit in task.objectives[1].fit]
        bottleneck = sg.objectives.LinearFeatures if options else sg.objectives.Bottleneck
        assert kinds == [bottleneck, sg.objectives.LinearFeatures]


@pytest.mark.filterwarnings("ignore::studygroup.EqualStudentsWarning")
def test_rows_that_a_student_does_not_see_do_not_count_in_a_bottleneck():
    """Two students who are alike see each his own rows: each bottleneck's norm is over the rows that were seen."""
    torch.manual_seed(0)
    group = sg.StudyGroup(convolutional(), sg.routes.branches(["2", "6"], students=2), init="copy")
    bottleneck = sg.objectives.Bottleneck(2, 3, size=(2, 2))
    part = sg.objectives.SelfDistillation({"0": bottleneck}, features=3, classes=7)
    task = sg.CollaborativeLearning(group, [sg.objectives.Supervised(), part]).double()
    x, y = torch.randn(ROWS, 1, 4, 4, dtype=torch.float64), torch.tensor(LABELS)
    value = task(x, y, owner=[0, 1, 0, 1, 0]).auxiliary["inner"]
    net = group.export(0)
    features, z = net[:6](x), net(x)
    own = bottleneck_by_loop(bottleneck, net[0](x))
    each = [row_loss(part.heads[0](own[n]), own[n], z[n], features[n], n) for n in range(ROWS)]
    expected = (each[0] + each[2] + each[4]) / 3 + (each[1] + each[3]) / 2
    torch.testing.assert_close(value, expected)


def test_inner_classifiers_do_not_ship_and_are_told_apart():
    task = sg.recipes.byot(build(), inner=LAYERS, example=torch.randn(2, 4))
    x, y = batch()
    losses = task(x.float(), y)
    assert list(task.group.export(0).state_dict()) == list(build().state_dict())
    torch.testing.assert_close(losses.total, losses.supervised.sum() + losses.auxiliary["inner"])


def test_inner_classifiers_work_inside_any_group():
    torch.manual_seed(0)
    group = sg.StudyGroup(build(), sg.routes.branches(["2", "4"], students=3))
    part = sg.objectives.InnerClassifiers({"2": 6}, classes=7, weight=1.0)
    task = sg.CollaborativeLearning(group, [sg.objectives.Supervised(), part])
    x, y = batch()
    value = task(x.float(), y, owner=[0, 1, 0, 1, 0]).auxiliary["inner"]
    expected = 0
    for student, own in ((0, [0, 2, 4]), (1, [1, 3])):
        hidden = group.export(student)[:3](x[own].float())
        expected = expected + torch.nn.functional.cross_entropy(part.heads[0](hidden), y[own])
    torch.testing.assert_close(value, expected)
