"""Networks wholly in half precision: every recipe trains, and what ships has the network's own precision."""

import dataclasses

import pytest
import torch

import studygroup as sg
from helpers.networks import CASES, CLASSES, OURS, Case
from recipes.test_matrix import RECIPES

NETWORKS = {name: (CASES | OURS)[name] for name in ("mlp", "resnet", "bert")}


def half(value, dtype):
    """A batch, or part of it, in half precision; token ids stay numbers."""
    if isinstance(value, dict):
        return {key: half(item, dtype) for key, item in value.items()}
    return value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def lowered(case: Case, dtype: torch.dtype) -> Case:
    """The network in half precision as it is handed in, and its batches."""
    return dataclasses.replace(
        case, build=lambda: case.build().to(dtype), inputs=lambda rows: half(case.inputs(rows), dtype)
    )


def learn(task: sg.CollaborativeLearning, case: Case, steps: int = 3, rate: float = 0.05) -> list[sg.Losses]:
    parameters = [p for p in task.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(parameters, lr=rate)
    seen = []
    owner = torch.arange(8) % task.group.students if isinstance(task.rows, sg.Subsets) else None
    for number in range(steps):
        torch.manual_seed(number)
        optimiser.zero_grad()
        losses = task(case.inputs(8), torch.arange(8) % CLASSES, owner=owner, progress=0.5)
        losses.total.backward()
        assert all(p.grad.isfinite().all() for p in parameters if p.grad is not None)
        optimiser.step()
        seen.append(losses)
    return seen


def build(name: str, case: Case) -> sg.CollaborativeLearning:
    torch.manual_seed(0)
    return RECIPES[name](case).train()


def pairs():
    """Every recipe on the perceptron, and some on the others; the rest takes long."""
    for name in RECIPES:
        for network in NETWORKS:
            rare = network != "mlp" and name not in ("cgl", "dml", "pcl")
            yield pytest.param(name, network, marks=pytest.mark.long if rare else ())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "network"), [*pairs()])
def test_a_task_in_bfloat16_loses_as_much_as_in_float32(name, network):
    case = NETWORKS[network]
    low = lowered(case, torch.bfloat16)
    task = build(name, case)
    exact = learn(build(name, case), case)
    task.to(torch.bfloat16)
    found = learn(task, low)
    assert {one.total.dtype for one in found} == {torch.float32}
    for key, value in exact[0].values.items():
        torch.testing.assert_close(found[0].values[key], value, atol=0.15, rtol=0.1)
    if network != "resnet":  # batches of eight rows under batch norm magnify rounding from step to step
        torch.testing.assert_close(found[-1].supervised, exact[-1].supervised, atol=0.1, rtol=0.1)
    for group in {task.group, task.shipped}:
        shipped = group.export(0)
        assert {p.dtype for p in shipped.parameters()} == {torch.bfloat16}
        x = low.inputs(2)
        out = shipped.eval()(**x) if isinstance(x, dict) else shipped.eval()(x)
        assert getattr(out, "logits", out).dtype == torch.bfloat16


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", RECIPES)
def test_a_network_that_is_handed_in_in_half_precision_trains(name, dtype):
    """What the recipe adds, such as gates, is as it builds it: in single precision."""
    case = lowered(CASES["mlp"], dtype)
    task = build(name, case)
    before = [p.detach().clone() for p in task.group.parameters()]
    losses = learn(task, case)
    assert all(one.total.isfinite() for one in losses)
    assert any(not torch.equal(p, old) for p, old in zip(task.group.parameters(), before, strict=True))
    assert {p.dtype for p in task.shipped.export(0).parameters()} == {dtype}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["self_distillation", "pcl"])
def test_averages_are_kept_in_single_precision_and_ship_in_the_networks(name):
    case = lowered(CASES["mlp"], torch.bfloat16)
    task = build(name, CASES["mlp"]).to(torch.bfloat16)
    averages = next(source for source in task.sources if isinstance(source, sg.teachers.Averages))
    expected = [p.detach().float() for p in averages.parameters()]
    optimiser = torch.optim.SGD([p for p in task.parameters() if p.requires_grad], lr=0.05)
    for number in range(4):
        optimiser.zero_grad()
        task(case.inputs(8), torch.arange(8) % CLASSES, progress=0.5).total.backward()
        optimiser.step()
        keep = min(1 - 1 / (number + 2), averages.decay)
        expected = [
            keep * old + (1 - keep) * new.detach().float()
            for old, new in zip(expected, task.group.parameters(), strict=True)
        ]
    for found, mean in zip(averages.parameters(), expected, strict=True):
        assert found.dtype == torch.bfloat16
        torch.testing.assert_close(found.float(), mean, atol=1e-6, rtol=2**-8)
    kept = [value for key, value in averages.state_dict().items() if key.startswith("precise_")]
    assert len(kept) == len(expected)
    for found, mean in zip(kept, expected, strict=True):
        torch.testing.assert_close(found, mean, atol=1e-7, rtol=1e-6)
