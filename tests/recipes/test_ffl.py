"""FFL's loss and gradient against loops in float64, written from Kim et al. 2019 and their public code."""

import copy
import functools
import math

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.loops import (
    CLASSES,
    LABELS,
    ROWS,
    assert_all_learn,
    assert_equal_gradients,
    assert_own_parameters,
    constant,
    hard,
    kl,
    log_psi,
    networks,
)
from helpers.networks import OURS
from helpers.small_run import small
from studygroup.training import methods, train
from studygroup.training.scores import score, score_net

LAYERS = ("2", "6")
SIDE, WIDTH = 3, 4


def build(channels: int = 3) -> nn.Module:
    """A shared convolution, one whose output is the map, and a classifier."""
    return nn.Sequential(
        nn.Conv2d(2, channels, 3, padding=1), nn.Tanh(), nn.Conv2d(channels, WIDTH, 3, padding=1), nn.Tanh(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, CLASSES),
    )  # fmt: skip


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(ROWS, 2, SIDE, SIDE, dtype=torch.float64, generator=draw), torch.tensor(LABELS)


def make(**options) -> sg.CollaborativeLearning:
    torch.manual_seed(0)
    example = torch.randn(2, 2, SIDE, SIDE)
    task = sg.recipes.ffl(build(), **{"layers": LAYERS, "example": example} | options).double()
    for module in task.teachers[0].fusion:
        if isinstance(module, nn.BatchNorm2d):
            module.bias.data += 0.3
    return task


def normed(pixels: list, norm: nn.BatchNorm2d, c: int) -> list:
    """ReLU(BN) of one channel, by the statistics of all rows and pixels."""
    every = [pixel for row in pixels for pixel in row]
    mean = sum(every) / len(every)
    variance = sum((pixel - mean) ** 2 for pixel in every) / len(every)
    scaled = [
        [(p - mean) / torch.sqrt(variance + norm.eps) * norm.weight[c] + norm.bias[c] for p in row]
        for row in pixels
    ]
    return [[p if p > 0 else p * 0 for p in row] for row in scaled]


def fused_by_loop(fusion: nn.Sequential, maps: list[list[torch.Tensor]]) -> list[list[torch.Tensor]]:
    """W mean(ReLU(BN(P * ReLU(BN(D * [F_1, F_2]))))) + b of every row, pixel by pixel."""
    depth, norm, _, point, norm_2, *_, linear = fusion
    joint = [[channel for of_network in maps for channel in of_network[n]] for n in range(ROWS)]
    taps = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    inside = range(SIDE)
    first = []
    for c in range(len(joint[0])):
        pixels = [
            [
                sum(
                    depth.weight[c, 0, a + 1, b + 1] * joint[n][c][i + a, j + b]
                    for a, b in taps
                    if i + a in inside and j + b in inside
                )
                for i in inside
                for j in inside
            ]
            for n in range(ROWS)
        ]
        first.append(normed(pixels, norm, c))
    second = []
    for d in range(WIDTH):
        pixels = [
            [
                sum(point.weight[d, c, 0, 0] * first[c][n][p] for c in range(len(first)))
                for p in range(SIDE * SIDE)
            ]
            for n in range(ROWS)
        ]
        second.append(normed(pixels, norm_2, d))
    means = [[sum(second[d][n]) / SIDE**2 for d in range(WIDTH)] for n in range(ROWS)]
    return [
        [
            sum(linear.weight[y, d] * means[n][d] for d in range(WIDTH)) + linear.bias[y]
            for y in range(CLASSES)
        ]
        for n in range(ROWS)
    ]


@pytest.mark.parametrize(("progress", "scale_by_t2"), [(0.1, True), (0.5, False)])
def test_the_loss_and_its_gradient_are_the_papers(progress, scale_by_t2):
    task = make(scale_by_t2=scale_by_t2)
    x, y = batch()
    nets, fusion = networks(task), copy.deepcopy(task.teachers[0].fusion)
    z = [[net(x[n : n + 1])[0] for n in range(ROWS)] for net in nets]
    z_f = fused_by_loop(fusion, [[net[:3](x[n : n + 1])[0] for n in range(ROWS)] for net in nets])
    ramp = math.exp(-5 * (1 - progress / (80 / 300)) ** 2) if progress < 80 / 300 else 1.0
    factor = 9 if scale_by_t2 else 1
    own, to_fused, to_networks = 0, 0, 0
    for n in range(ROWS):
        z_e = [(z[0][n][c] + z[1][n][c]) / 2 for c in range(CLASSES)]
        says = log_psi(z_f[n], 3.0)
        own = own - log_psi(z_f[n])[LABELS[n]] / ROWS
        to_fused = to_fused + factor * kl(constant(log_psi(z_e, 3.0)), says) / ROWS
        for k in range(2):
            to_networks = to_networks + factor * kl(constant(says), log_psi(z[k][n], 3.0)) / ROWS
    total = hard(z[0]) + hard(z[1]) + own + ramp * (to_fused + to_networks)
    total.backward()

    losses = task(x, y, progress=progress)
    losses.total.backward()
    torch.testing.assert_close(losses.total, total)
    torch.testing.assert_close(losses.auxiliary["fused"], own)
    torch.testing.assert_close(losses.auxiliary["from_ensemble"], to_fused)
    torch.testing.assert_close(losses.imitation.sum(), to_networks)
    assert_equal_gradients(task, nets, LAYERS)
    for (name, mine), expected in zip(
        task.teachers[0].fusion.named_parameters(), fusion.parameters(), strict=True
    ):
        torch.testing.assert_close(mine.grad, expected.grad, msg=name)
    assert_all_learn(task)


def test_sub_networks_are_their_own_and_ship_under_the_networks_own_keys():
    task = make()
    assert_own_parameters(task, LAYERS)
    task.eval()
    x, _ = batch()
    for student in range(2):
        net = task.shipped.export(student)
        assert list(net.state_dict()) == list(build().state_dict())
        torch.testing.assert_close(net(x), task.group(x).logits[student])


def test_the_fused_classifier_ships_as_one_module():
    task = make(ships="fused")
    x, y = batch()
    optimiser = torch.optim.SGD(task.parameters(), lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        task.train()(x, y).total.backward()
        optimiser.step()
    assert task.shipped.students == 1
    net = task.shipped.export(0).eval()
    task.eval()
    z_f = task.teachers[0].answer(task.group(x, capture=task.teachers[0].capture))
    torch.testing.assert_close(net(x), z_f)
    torch.testing.assert_close(task.shipped(x).logits, z_f[None])
    assert not torch.allclose(z_f, task.group(x).logits.mean(0), atol=1e-2)
    batches = [(x, y)]
    assert score(task.shipped, batches, students=1).students == score_net(net, batches).students
    with torch.no_grad():
        next(net.parameters()).add_(1.0)  # a copy
    torch.testing.assert_close(task.shipped(x).logits, z_f[None])
    with pytest.raises(ValueError, match="no student 1"):
        task.shipped.export(1)
    with pytest.raises(ValueError, match="gives logits of all rows and nothing else"):
        task.shipped(x, capture=sg.objectives.Capture(trunk=True))


def test_shipping_all_adds_no_parameter_and_a_run_refuses_it_at_its_start(tmp_path):
    parameters = [len(list(make(ships=ships).parameters())) for ships in ("sub-network", "fused")]
    assert parameters[0] == parameters[1]
    settings = small(recipe=functools.partial(methods.ffl, ships="fused"))
    with pytest.raises(ValueError, match="trains 2 students and ships 1"):
        train(settings, run_dir=tmp_path / "run", progress_bar=False)


@pytest.mark.parametrize("ships", ["sub-network", "fused"])
def test_a_state_dict_brings_sub_networks_and_fusion_back(ships):
    task, other = make(ships=ships), make(ships=ships)
    x, y = batch()
    with torch.no_grad():
        for p in task.parameters():
            p.add_(0.1 * torch.randn_like(p))
    task(x, y)
    other.load_state_dict(task.state_dict())
    for one in (task, other):
        optimiser = torch.optim.SGD(one.parameters(), lr=0.1)
        one(x, y).total.backward()
        optimiser.step()
    for (name, a), b in zip(task.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_networks_of_different_architecture_fuse_maps_of_one_name():
    torch.manual_seed(0)
    peers = sg.Peers([build(3), build(5)])
    x, y = batch()
    task = sg.recipes.ffl(peers, maps="2", example=x[:2].float()).double()
    task(x, y).total.backward()
    assert_all_learn(task)
    assert [len(net[0].weight) for net in networks(task)] == [3, 5]
    assert task.teachers[0].fusion[0].in_channels == 2 * WIDTH


def test_without_maps_the_classifiers_inputs_are_fused_also_of_texts():
    case = OURS["transformer"]
    task = sg.recipes.ffl(
        case.build(), layers=case.branch, example=case.inputs(2), init=case.build, ships="fused"
    )
    assert task.teachers[0].maps == ""
    assert task.teachers[0].fusion[0].kernel_size == (1, 1)
    task.eval()
    net = task.shipped.export(0)
    with torch.no_grad():
        torch.testing.assert_close(net(**case.inputs(3)), task.shipped(case.inputs(3)).logits[0])


def test_under_autocast_the_fused_classifier_computes_in_single_precision():
    task = make().float()
    x, y = batch()
    with torch.autocast("cpu", torch.bfloat16):
        losses = task(x.float(), y)
    losses.total.backward()
    assert losses.auxiliary["fused"].dtype == losses.auxiliary["from_ensemble"].dtype == torch.float32
    torch.testing.assert_close(losses.total, make().float()(x.float(), y).total, atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ships": "all"}, "ships='all'"),
        ({"maps": "6"}, "the output of layer '6' has 2 axes"),
        ({"maps": "9"}, "9"),
    ],
)
def test_what_does_not_fit_is_refused(options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_the_defaults_and_the_paper():
    task = make()
    assert (task.group.students, task.teachers[0].maps) == (2, "2")
    assert [type(module).__name__ for module in task.teachers[0].fusion] == [
        "Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "ReLU", "AdaptiveAvgPool2d", "Flatten", "Linear",
    ]  # fmt: skip
    weights = task.weights(0.0)
    assert weights["imitation"] == weights["from_ensemble"] == pytest.approx(math.exp(-5))
    assert weights["fused"] == weights["supervised"] == 1.0
    assert "kim2019feature" in sg.citation(task)
