"""Every recipe in every way to train, against the plain way: what the numbers are, and what moves."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils._python_dispatch import TorchDispatchMode

import studygroup as sg
from helpers.sharpness import SharpnessAware
from helpers.ways import (
    RECIPES,
    assert_same,
    averages,
    batch,
    build,
    distance,
    gradients,
    learn,
    losses,
    norm_of,
    owners,
    plain,
    stepped,
    trained,
)

RATE = 0.05
EXACT = {"atol": 1e-10, "rtol": 1e-10}
DOUBLE = {"norm": False, "dtype": torch.float64}


@pytest.fixture(params=RECIPES)
def name(request) -> str:
    return request.param


def updates(task: sg.CollaborativeLearning) -> set[int]:
    """How often its moving averages, if it has any, have moved."""
    return {one.updates for one in averages(task)}


POOLING = ("auxiliary_training", "byot")  # heads that take the mean of a map, as networks do


class InHalf(TorchDispatchMode):
    """Notes the functions that return half precision, outside the groups' passes.

    Networks, heads included, compute in half precision as autocast lets them; what objectives and teachers compute of
    their answers is to be in single precision.
    """

    OF_LAYERS = frozenset(
        [
            *(
                "addmm",
                "avg_pool2d",
                "convolution",
                "max_pool2d_with_indices",
                "mm",
                "native_batch_norm",
                "relu",
            ),
            *(
                "_to_copy",
                "detach",
                "expand",
                "scalar_tensor",
                "t",
                "transpose",
                "view",
                "where",
            ),  # compute nothing
        ]
    )

    def __init__(self, task: sg.CollaborativeLearning) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.inside = 0
        for group in (task.group, *task.sources):
            group.register_forward_pre_hook(lambda *_: self.enter(1))
            group.register_forward_hook(lambda *_: self.enter(-1))

    def enter(self, step: int) -> None:
        self.inside += step

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given = result if isinstance(result, tuple | list) else [result]
        half = any(isinstance(one, Tensor) and one.dtype in (torch.bfloat16, torch.float16) for one in given)
        if half and not self.inside:
            self.found.add(func.overloadpacket.__name__)
        return result


def test_autocast_halves_the_networks_alone(name):
    """Layers run in half precision, and losses, targets and averages do not."""
    whole, exact = plain(name)
    task = build(name)
    x, y = batch()
    with torch.autocast("cpu", dtype=torch.bfloat16), InHalf(task) as mode:
        found = losses(task, x, y)
    assert mode.found - mode.OF_LAYERS == ({"mean"} if name in POOLING else set())
    assert {value.dtype for value in (found.total, found.logits, *found.values.values())} == {torch.float32}
    own = torch.ones(len(found.logits), len(y), dtype=torch.bool)
    if (owner := owners(task)) is not None:
        own = torch.arange(len(found.logits))[:, None] == owner
    by_hand = torch.stack([F.cross_entropy(z[o], y[o]) for z, o in zip(found.logits, own, strict=True)])
    torch.testing.assert_close(found.values["supervised"], by_hand, atol=1e-6, rtol=1e-5)
    for key, value in whole.values.items():
        torch.testing.assert_close(found.values[key], value, atol=0.05, rtol=0.05)
    found.total.backward()
    assert 0 < distance(gradients(task), exact) < (0.2 if name == "ffl" else 0.1)  # a norm over eight rows
    task.eval()
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        for student, logits in enumerate(task.group(x).logits):
            torch.testing.assert_close(logits, task.group.export(student)(x), atol=0.02, rtol=0.02)


def test_a_scaler_scales_and_what_it_skips_is_no_update(name):
    task = build(name)
    with torch.autocast("cpu", dtype=torch.float16):
        losses(task, *batch()).total.backward()
    expected = gradients(task)
    optimiser = torch.optim.SGD(trained(task), lr=RATE)
    before = [p.detach().clone() for p in task.parameters()]
    for scale, skips in ((2.0**60, True), (2.0**10, False)):
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        optimiser.zero_grad()
        task.load_state_dict(build(name).state_dict())
        with torch.autocast("cpu", dtype=torch.float16):
            found = losses(task, *batch())
        scaler.scale(found.total).backward()
        scaler.unscale_(optimiser)
        scaled = gradients(task)
        scaler.step(optimiser)
        scaler.update()
        assert (scaler.get_scale() < scale) == skips
        assert updates(task) <= {0 if skips else 1}
        assert task.step == 1
        moved = [not torch.equal(p, old) for p, old in zip(task.parameters(), before, strict=True)]
        assert any(moved) != skips
    assert distance(scaled, expected) < 0.002


MIXED = ("byot", "ffl", "one", "kdcl_general", "intra")
"""Their own heads have batch norm, they measure each pass, or compare the rows of a batch."""


def test_accumulated_gradients_are_those_of_one_batch(name):
    """Without batch norm; each pass draws anew, unless the step is set back."""
    _, expected = plain(name, **DOUBLE)
    task = build(name, **DOUBLE)
    optimiser = torch.optim.SGD(trained(task), lr=0.0)
    x, y = batch(dtype=torch.float64)
    for half in (slice(0, 4), slice(4, 8)):
        task.step = 0
        (losses(task, x[half], y[half]).total / 2).backward()
    assert (distance(gradients(task), expected) < 1e-10) == (name not in MIXED)
    assert updates(task) <= {0}
    optimiser.step()
    assert updates(task) <= {1}


def test_clipping_counts_every_parameter_once(name):
    task = build(name, **DOUBLE)
    _, found = stepped(task)
    own = {id(p): p for module in task.modules() for p in module._parameters.values() if p is not None}
    by_hand = math.sqrt(sum(p.grad.square().sum().item() for p in own.values() if p.grad is not None))
    norm = torch.nn.utils.clip_grad_norm_(task.parameters(), by_hand / 4)
    assert norm.item() == pytest.approx(by_hand, rel=1e-12)
    assert_same(gradients(task), {key: value / 4 for key, value in found.items()}, atol=1e-6, rtol=1e-5)


def test_averages_of_torch_hold_the_mean_of_what_ships(name):
    task = build(name)
    optimiser = torch.optim.SGD(trained(task), lr=RATE)
    learn(task, optimiser)
    of_task, of_group = AveragedModel(task), AveragedModel(task.group)  # copies in the middle of training
    seen = []
    for number in (1, 2):
        learn(task, optimiser, number)
        of_task.update_parameters(task)
        of_group.update_parameters(task.group)
        seen.append([dict(group.export(0).named_parameters()) for group in (task.shipped, task.group)])
    for group, place in ((of_task.module.shipped, 0), (of_task.module.group, 1), (of_group.module, 1)):
        mean = {key: (seen[0][place][key] + seen[1][place][key]) / 2 for key in seen[0][place]}
        assert_same(dict(group.export(0).named_parameters()), mean, atol=1e-6, rtol=1e-5)
    assert updates(task) <= {3}
    assert updates(of_task.module) <= {1}  # a copy follows the optimiser of its own parameters


def test_both_passes_of_a_sharpness_aware_step_ask_the_same_teachers(name):
    """Where the step is set back between them: then the second is the gradient of the same loss at another place."""
    radius = 0.05
    task, place = build(name, **DOUBLE), build(name, **DOUBLE)
    _, first = stepped(place)
    with torch.no_grad():
        for key, parameter in place.named_parameters():
            if key in first:
                parameter.add_(first[key], alpha=radius / norm_of(first))
    place.zero_grad()
    place.step = 0
    _, second = stepped(place)
    expected = {key: (p - RATE * second[key]).detach() for key, p in task.named_parameters() if key in second}
    optimiser = SharpnessAware(trained(task), torch.optim.SGD, rho=radius, lr=RATE)

    def closure():
        task.step = 0
        optimiser.zero_grad()
        stepped(task)

    closure()
    optimiser.step(closure)
    assert_same({key: p.detach() for key, p in task.named_parameters() if key in expected}, expected, **EXACT)
    assert updates(task) <= {1}


def test_channels_last_is_kept_and_changes_nothing(name):
    _, expected = plain(name)
    task = build(name).to(memory_format=torch.channels_last)
    kept = []

    def look(module: nn.Module, args: tuple[Tensor]) -> None:
        kept.append(args[0].is_contiguous(memory_format=torch.channels_last))

    for group in (task.group, *task.sources):
        for module in group.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_pre_hook(look)
    x, y = batch()
    losses(task, x.contiguous(memory_format=torch.channels_last), y).total.backward()
    assert kept == [True] * len(kept)
    assert len(kept) >= 3
    assert distance(gradients(task), expected) < 1e-4
