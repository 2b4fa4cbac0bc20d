"""L_kernel against plain loops in float64, written from the intra-model paper's equation 10."""

import math

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from studygroup.functional import kernel_decorrelation


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_loop(weight):
    rows = weight.flatten(1).tolist()
    width = len(rows[0])
    standard = []
    for row in rows:
        mean = sum(row) / width
        deviation = math.sqrt(sum((value - mean) ** 2 for value in row) / width)
        standard.append([(value - mean) / deviation if deviation else 0.0 for value in row])
    total = 0.0
    for i, first in enumerate(standard):
        for j, second in enumerate(standard):
            if i != j:
                total += (sum(a * b for a, b in zip(first, second, strict=True)) / width) ** 2
    return math.sqrt(total)


def by_autograd(weight):
    """The same in plain tensor operations, differentiable by themselves."""
    rows = weight.flatten(1)
    rows = (rows - rows.mean(1, keepdim=True)) / rows.std(1, correction=0, keepdim=True)
    correlations = rows @ rows.T / rows.shape[1]
    return torch.linalg.matrix_norm(correlations - correlations.diag().diag())


@pytest.mark.parametrize(
    "shape", [(5, 3, 2, 2), (4, 6, 1, 1), (5, 7), (7, 3), (6, 5), (4, 2, 3), (9, 2, 2, 1, 2)]
)
def test_value_and_gradient(shape):
    weight = (drawn(*shape) + 2).requires_grad_()
    loss = kernel_decorrelation(weight)
    assert loss.item() == pytest.approx(by_loop(weight.detach()), abs=1e-12)
    assert gradcheck(kernel_decorrelation, weight)
    own = torch.autograd.grad(3 * loss, weight)[0]
    torch.testing.assert_close(own, torch.autograd.grad(3 * by_autograd(weight), weight)[0])


def test_groups_are_not_compared():
    weight = drawn(6, 2, 3, 3).requires_grad_()
    expected = math.sqrt(sum(by_loop(part.detach()) ** 2 for part in weight.split(2)))
    assert kernel_decorrelation(weight, groups=3).item() == pytest.approx(expected, abs=1e-12)
    assert gradcheck(lambda w: kernel_decorrelation(w, groups=3), weight)
    depthwise = nn.Conv2d(6, 6, 3, groups=6).weight
    assert kernel_decorrelation(depthwise, groups=6).item() == 0
    with pytest.raises(ValueError, match="6 filters do not divide into 4 groups"):
        kernel_decorrelation(weight, groups=4)
    with pytest.raises(ValueError, match="groups is 0; give a whole number, at least 1"):
        kernel_decorrelation(weight, groups=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e4])
def test_a_constant_row_is_uncorrelated_and_gets_no_gradient(dtype, value):
    weight = drawn(4, 3, 3, 3).to(dtype)
    weight[1] = value
    weight.requires_grad_()
    loss = kernel_decorrelation(weight)
    loss.backward()
    others = weight.detach()[[0, 2, 3]]
    assert loss.item() == pytest.approx(by_loop(others.double()), rel=1e-5)
    assert not weight.grad[1].any()
    expected = torch.autograd.grad(by_autograd(alone := others.clone().requires_grad_()), alone)[0]
    torch.testing.assert_close(weight.grad[[0, 2, 3]], expected)


@pytest.mark.parametrize("shape", [(1, 3, 3, 3), (4, 1, 1, 1)])
def test_nothing_to_compare(shape):
    weight = drawn(*shape).requires_grad_()
    loss = kernel_decorrelation(weight)
    loss.backward()
    assert loss.item() == 0
    assert not weight.grad.any()


def test_memory_formats_precisions_and_autocast():
    weight = drawn(5, 3, 2, 2)
    exact = weight.clone().requires_grad_()
    kernel_decorrelation(exact).backward()
    last = weight.to(memory_format=torch.channels_last).requires_grad_()
    kernel_decorrelation(last).backward()
    torch.testing.assert_close(last.grad, exact.grad)
    (own,) = torch.autograd.grad(kernel_decorrelation(last), last)
    assert own.stride() == last.stride()  # as it leaves the backward pass, so that none is copied
    for dtype in (torch.float32, torch.bfloat16):
        other = weight.to(dtype).requires_grad_()
        same = other.detach().double().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = kernel_decorrelation(other)
            loss.backward()
        kernel_decorrelation(same).backward()
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(kernel_decorrelation(same).item(), rel=1e-6)
        assert other.grad.dtype == dtype
        step = torch.finfo(dtype).eps * same.grad.abs().max().item()
        torch.testing.assert_close(other.grad.double(), same.grad, atol=4 * step, rtol=0)


@pytest.mark.parametrize(("filters", "side"), [(8, 8), (200, 144)])
def test_one_product_is_taken_each_way_and_kept_on_its_shorter_side(filters, side):
    weight = drawn(filters, 16, 3, 3).requires_grad_()
    kept = []
    keeping = torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t)
    with keeping, torch.profiler.profile(acc_events=True) as forward:
        loss = kernel_decorrelation(weight)
    with torch.profiler.profile(acc_events=True) as backward:
        loss.backward()
    own = [t for t in kept if t.data_ptr() != weight.data_ptr()]
    assert sum(t.numel() for t in own) == side**2 + 2 * filters + 1
    for profile in (forward, backward):
        assert sum(event.count for event in profile.key_averages() if event.key == "aten::bmm") == 1


def test_a_second_derivative_is_refused():
    with pytest.raises(RuntimeError, match="kernel_decorrelation can be differentiated once"):
        kernel_decorrelation(drawn(3, 4).requires_grad_()).backward(create_graph=True)
