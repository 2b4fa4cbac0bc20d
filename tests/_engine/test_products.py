"""Convolutions whose weights learn from two gradients in one product, against autograd's own."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from studygroup._engine.products import passing, sharing


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Give(torch.autograd.Function):
    """A zero that gives a tensor a gradient."""

    @staticmethod
    def forward(ctx, tensor, gradient):
        ctx.save_for_backward(gradient)
        return tensor.new_zeros(())

    @staticmethod
    def backward(ctx, above):
        return above * ctx.saved_tensors[0], None


CONVOLUTIONS = {
    "1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1), (5, 4, 9)),
    "2d": (lambda: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), bias=False), (5, 4, 7, 6)),
    "dilated": (lambda: nn.Conv2d(4, 6, 3, dilation=2), (5, 4, 7, 6)),
    "grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2), (5, 4, 7, 6)),
    "pointwise": (lambda: nn.Conv2d(4, 6, 1), (5, 4, 7, 6)),
    "padded otherwise": (lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"), (5, 4, 7, 6)),
    "3d": (lambda: nn.Conv3d(2, 3, 2, padding=(0, 1, 0)), (2, 2, 4, 3, 5)),
}


def build(make) -> nn.Module:
    torch.manual_seed(0)
    return make().double()


@pytest.mark.parametrize("kind", CONVOLUTIONS)
@pytest.mark.parametrize("above", [True, False])
def test_weights_learn_from_the_sum_and_what_lies_below_from_one(kind, above):
    make, shape = CONVOLUTIONS[kind]
    layer, other = build(make), build(make)
    x, other_x = (normal(*shape).requires_grad_() for _ in range(2))
    with sharing([layer]) as found:
        output = layer(x)
    expected = other(other_x)
    assert torch.equal(output, expected)
    first, second = normal(*output.shape, seed=1), normal(*output.shape, seed=2)
    assert found.keys() == set(layer.parameters())
    (product,) = found[layer.weight]
    assert all(products == [product] for products in found.values())
    (Give.apply(product.share, second) + (output * first).sum() * above).backward()
    of_first = torch.autograd.grad(expected, [other_x, *other.parameters()], first, retain_graph=True)
    of_second = torch.autograd.grad(expected, list(other.parameters()), second)
    torch.testing.assert_close(x.grad, of_first[0] * above, atol=1e-13, rtol=1e-13)
    for parameter, one, two in zip(layer.parameters(), of_first[1:], of_second, strict=True):
        torch.testing.assert_close(parameter.grad, one * above + two, atol=1e-12, rtol=1e-12)


def two_layers() -> nn.Sequential:
    return build(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3)))


def test_without_a_second_loss_all_is_as_before():
    """Second derivatives too."""
    net, other, x = two_layers(), two_layers(), normal(2, 3, 7, 7)
    with sharing([net]):
        output = net(x)
    gradients = []
    for parameters, value in ((list(net.parameters()), output), (list(other.parameters()), other(x))):
        first = torch.autograd.grad(value.square().sum(), parameters, create_graph=True)
        gradients.append([*first, *torch.autograd.grad(sum(g.square().sum() for g in first), parameters)])
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)


def test_a_loss_that_passes_takes_no_product_of_weights():
    net, x = two_layers(), normal(2, 3, 7, 7)
    inner = net[0](x)
    (expected,) = torch.autograd.grad(net[2](inner.relu()).sum(), inner)
    with sharing([net]) as found:
        output = net(x)
    lower, upper = (found[net[i].weight][0] for i in (0, 2))
    with FlopCounterMode(display=False) as counter, passing([lower, upper]):
        (gradient,) = torch.autograd.grad(output.sum(), [lower.output], retain_graph=True)
    torch.testing.assert_close(gradient, expected)
    assert counter.get_total_flops() == 2 * 2 * 4 * 4 * 9 * 3 * 3  # the upper one's product with its weights
    output.sum().backward()
    assert net[0].weight.grad.any()


def test_two_losses_take_one_product():
    layer, x = build(lambda: nn.Conv2d(3, 4, 3)), normal(2, 3, 7, 7)
    with sharing([layer]) as found:
        output = layer(x)
    total = output.sum() + Give.apply(found[layer.weight][0].share, normal(*output.shape))
    with FlopCounterMode(display=False) as counter:
        total.backward()
    assert counter.get_total_flops() == 2 * 2 * 3 * 4 * 9 * 5 * 5


def test_every_call_is_found():
    layer = build(lambda: nn.Conv2d(3, 3, 3, padding=1))
    with sharing([nn.Sequential(layer)]) as found:
        output = layer(layer(normal(2, 3, 5, 5)))
    first, second = found[layer.weight]
    assert second.output.node is output.grad_fn
    total = output.sum()
    for product in (first, second):
        total = total + Give.apply(product.share, torch.ones_like(output))
    total.backward()
    other = build(lambda: nn.Conv2d(3, 3, 3, padding=1))
    inner = other(normal(2, 3, 5, 5))
    (2 * other(inner.detach())).sum().backward()
    inner.backward(1 + torch.autograd.grad(other(h := inner.detach().requires_grad_()).sum(), h)[0])
    torch.testing.assert_close(layer.weight.grad, other.weight.grad)
    torch.testing.assert_close(layer.bias.grad, other.bias.grad)


class Otherwise(nn.Module):
    """Uses a convolution's weights in another way as well, or not by a call that can be shared."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.kind = nn.Conv2d(3, 3, 3, padding="same" if kind == "same" else 1), kind
        self.other = nn.Conv2d(3, 3, 1, bias=False)
        self.double()

    def forward(self, x):
        if self.kind == "single":
            return torch.stack([self.conv(row) for row in x])
        if self.kind == "penalty":
            return self.conv(x) + self.conv.weight.square().sum()
        if self.kind == "standardised":
            return F.conv2d(x, self.conv.weight / self.conv.weight.std(), self.conv.bias, padding=1)
        if self.kind == "lent":
            return self.conv(x) + F.conv2d(x, self.conv.weight, x.new_ones(3), padding=1)
        if self.kind == "swapped":
            return F.conv2d(self.conv(x), self.other.weight, self.conv.bias)
        if self.kind == "by name":
            return F.conv2d(x, weight=self.conv.weight, bias=self.conv.bias, padding=1)
        return self.conv(x)


@pytest.mark.parametrize("kind", ["single", "same", "penalty", "standardised", "lent", "swapped", "by name"])
def test_what_cannot_be_shared_is_left_to_autograd(kind):
    net, other, x = Otherwise(kind), Otherwise(kind), normal(2, 3, 5, 5)
    with sharing([net]) as found:
        output = net(x)
    assert len(found) == 2 * (kind in ("lent", "by name"))
    output.square().sum().backward()
    other(x).square().sum().backward()
    for found, expected in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad)


def test_settings_of_weights_may_be_read():
    net = two_layers()
    with sharing([net]) as found:
        net(normal(2, 3, 7, 7).to(net[0].weight.dtype)) * net[0].weight.detach().sum()
    assert len(found) == 4


def test_where_nothing_is_to_be_shared_nothing_is():
    net, x = two_layers(), normal(2, 3, 7, 7)
    with torch.no_grad(), sharing([net]) as found:
        assert not net(x).requires_grad
    assert not found
    with torch.autocast("cpu"), sharing([net.float()]) as found:
        assert net(x.float()).dtype == torch.bfloat16
    assert not found
    net.bfloat16()
    with sharing([net]) as found:
        net(x.bfloat16())
    assert not found
    net.float().requires_grad_(False)[0].bias.requires_grad_(True)
    with sharing([net]) as found:
        net(x.float()).sum().backward()
    assert not found
    assert net[0].bias.grad.any()


def test_a_frozen_bias_stays():
    layer = build(lambda: nn.Conv2d(3, 4, 3))
    layer.bias.requires_grad_(False)
    with sharing([layer]) as found:
        output = layer(normal(2, 3, 7, 7))
    assert found.keys() == {layer.weight}
    output.sum().backward()
    assert layer.bias.grad is None
    assert layer.weight.grad.any()


def test_activations_may_be_computed_again():
    net, other, x = two_layers(), two_layers(), normal(2, 3, 7, 7)
    with sharing([net]) as found:
        output = checkpoint(net, x, use_reentrant=False)
    assert len(found) == 4
    output.square().sum().backward()
    other(x).square().sum().backward()
    for parameter, expected in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected.grad)


def test_nothing_is_kept_but_what_autograd_keeps():
    kept = []
    for shared in (False, True):
        net, sizes = copy.deepcopy(two_layers()), []
        hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: sizes.append(t.shape) or t, lambda t: t
        )
        with hooks, sharing([net] if shared else []):
            net(normal(2, 3, 7, 7))
        kept.append(sizes)
    assert kept[0] == kept[1]
