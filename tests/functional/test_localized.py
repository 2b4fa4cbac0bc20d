"""A loss that trains some parameters only, against `loss.backward(inputs=...)`."""

import copy
import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from one_process import squares_sent
from studygroup.functional import localized


class Net(nn.Module):
    """Two layers with a local head on the first, and a classifier."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.layer = nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.last = nn.Sequential(nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(32, 5))
        self.head = nn.Sequential(nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(32, 5))
        self.to(dtype)

    def forward(self, x):
        h = self.layer(self.stem(x))
        return self.last(h), self.head(h)

    @property
    def local(self):
        return [*self.layer.parameters(), *self.head.parameters()]


X = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
Y = torch.arange(6) % 5


def losses(net, x=X):
    """The network's own and the local loss."""
    output, local = net(x.to(net.stem[0].weight.dtype))
    return F.cross_entropy(output, Y), F.cross_entropy(local, Y)


def gradients(net):
    return {name: None if p.grad is None else p.grad.clone() for name, p in net.named_parameters()}


def expected_gradients(net, weight=1.0):
    """Of CE + weight · local, the second by `backward(inputs=...)`."""
    net = copy.deepcopy(net)
    own, local = losses(net)
    own.backward(retain_graph=True)
    before = gradients(net)
    net.zero_grad()
    local.backward(inputs=net.local)
    return {
        name: sum((g for g in (before[name], None if g is None else weight * g) if g is not None), 0)
        for name, g in gradients(net).items()
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_only_the_parameters_learn_and_exactly(dtype):
    net, other = Net(dtype), Net(dtype)
    _, local = losses(net)
    value = localized(local, net.local)
    assert torch.equal(value, local)
    value.backward()
    losses(other)[1].backward(inputs=other.local)
    found, expected = gradients(net), gradients(other)
    assert {name for name, g in found.items() if g is None} == {
        n for n in found if n.startswith(("stem", "last"))
    }
    for name, gradient in found.items():
        assert gradient is expected[name] is None or torch.equal(gradient, expected[name]), name


@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_in_a_total_the_network_learns_as_without_it(weight):
    net = Net(torch.float64)
    own, local = losses(net)
    (own + weight * localized(local, net.local)).backward()
    for name, expected in expected_gradients(net, weight).items():
        torch.testing.assert_close(net.get_parameter(name).grad, expected, atol=0, rtol=1e-15)


def test_no_gradient_flows_through_the_value_into_what_lies_below():
    net = Net()
    _, local = losses(net)
    value = localized(local, net.layer.parameters())
    below = [*net.stem.parameters(), *net.head.parameters()]
    assert torch.autograd.grad(value, below, allow_unused=True) == (None,) * len(below)


@pytest.mark.parametrize("scale", [2.0**16, torch.tensor(2.0**16), 1e-3])
def test_the_scale_changes_nothing(scale):
    net = Net(torch.float64)
    own, local = losses(net)
    value = localized(local, net.local, scale=scale)
    assert torch.equal(value, local)
    (own + value).backward()
    for name, expected in expected_gradients(net).items():
        torch.testing.assert_close(net.get_parameter(name).grad, expected)


def test_what_underflows_in_half_precision_is_kept_by_the_scale():
    weight = nn.Parameter(torch.tensor(1.0))
    found = []
    for scale in (1.0, 2.0**12):
        loss = (weight.half() * torch.tensor(2.0**-13, dtype=torch.half)).float() * 2.0**-13
        found.append(torch.autograd.grad(localized(loss, [weight], scale=scale), weight)[0].item())
    assert found == [0.0, 2.0**-26]


def test_an_overflow_reaches_the_scaler_and_not_the_value():
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    before = copy.deepcopy(net.state_dict())
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for scale in (1e38, 1.0):
        own, local = losses(net)
        total = own + localized(100 * local, net.local, scale=scale)
        assert torch.isfinite(total)
        optimizer.zero_grad()
        scaler.scale(total).backward()
        finite = all(torch.isfinite(p.grad).all() for p in net.parameters())
        assert finite == (scale == 1.0)
        scaler.step(optimizer)
        scaler.update()
        weights = "layer.0.weight"
        assert torch.equal(net.get_parameter(weights), before[weights]) != finite
        assert scaler.get_scale() == 2.0


def test_the_scaler_divides_what_it_multiplied():
    net = Net(torch.float64)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    own, local = losses(net)
    loss = own + localized(local, net.local, scale=scaler.scale(torch.ones(())))
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    for name, expected in expected_gradients(net).items():
        torch.testing.assert_close(net.get_parameter(name).grad, expected)


def test_gradients_accumulate():
    net = Net(torch.float64)
    expected = expected_gradients(net)
    for _ in range(3):
        own, local = losses(net)
        ((own + localized(local, net.local)) / 3).backward()
    for name, gradient in expected.items():
        torch.testing.assert_close(net.get_parameter(name).grad, gradient)


def test_each_parameter_is_accumulated_once():
    """Otherwise DDP would send the first part of a gradient and lose the second."""
    net = Net()
    seen = []
    for name, parameter in net.named_parameters():
        parameter.register_post_accumulate_grad_hook(lambda p, name=name: seen.append((name, p.grad.clone())))
    own, local = losses(net)
    (own + localized(local, net.local)).backward()
    assert sorted(name for name, _ in seen) == sorted(name for name, _ in net.named_parameters())
    for name, gradient in seen:
        assert torch.equal(gradient, net.get_parameter(name).grad)


class Task(nn.Module):
    """What is wrapped for several processes: a network and its losses."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        own, local = losses(self.net, x)
        return own + localized(local, self.net.local)


def test_under_ddp_all_gradients_are_those_of_one_process(tmp_path):
    task = Task(Net(torch.float64))
    sent = squares_sent(task, X, tmp_path)
    expected = expected_gradients(task.net)
    for name, gradient in expected.items():
        torch.testing.assert_close(task.net.get_parameter(name).grad, gradient)
    torch.testing.assert_close(sent, sum(g.square().sum() for g in expected.values()))


def test_autocast():
    net = Net()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        own, local = losses(net)
        total = own + localized(local, net.local)
    total.backward()
    other = copy.deepcopy(net)
    other.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        own, local = losses(other)
    own.backward(retain_graph=True, inputs=list(other.last.parameters()))
    local.backward(inputs=list(other.head.parameters()))
    for name in ("last.0.weight", "head.0.weight"):
        assert torch.equal(net.get_parameter(name).grad, other.get_parameter(name).grad), name
    assert net.layer[0].weight.grad.dtype == torch.float32


def test_under_autocast_the_gradient_is_formed_as_outside_of_it():
    """What a loss computes in single precision has its gradient in single precision too."""
    x = nn.Parameter(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with torch.autocast("cpu", enabled=False):
            loss = (x @ x.T).square().sum()
        value = localized(loss, [x])
    value.backward()
    assert torch.equal(x.grad, torch.autograd.grad((x @ x.T).square().sum(), x)[0])


def test_one_heads_activations_are_alive_at_a_time():
    """The heads of five layers, run from the last to the first and localised at once."""
    torch.manual_seed(0)
    layers = [nn.Linear(16, 16) for _ in range(5)]
    heads = [nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 4)) for _ in layers]
    alive, most = weakref.WeakSet(), []

    class Kept:
        def __init__(self, tensor):
            self.tensor = tensor.detach()  # with its graph, a saved output would hold itself

    def keep(tensor):
        kept = Kept(tensor)
        if tensor.shape == (8, 64):  # what tanh and the linear map behind it keep
            alive.add(kept)
        return kept

    taps, h = [], torch.randn(8, 16)
    for layer in layers:
        h = layer(h).relu()
        taps.append(h)
    total = h.square().mean()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept.tensor):
        for layer, head, tap in reversed(list(zip(layers, heads, taps, strict=True))):
            loss = head(tap).square().mean()
            most.append(len(alive))
            total = total + localized(loss, [*layer.parameters(), *head.parameters()])
            del loss
            gc.collect()
            assert len(alive) == 0
    assert most == [most[0]] * 5
    assert most[0] > 0
    total.backward()
    for module in (*layers, *heads):
        assert all(p.grad.any() for p in module.parameters())


def test_without_gradient_mode_the_value_alone_comes_back():
    net = Net()
    with torch.no_grad():
        _, local = losses(net)
        value = localized(local, net.local)
    assert torch.equal(value, local)
    assert not value.requires_grad
    with torch.inference_mode():
        assert localized(losses(net)[1], net.local).isfinite()


def test_frozen_repeated_and_unreached_parameters():
    net = Net()
    expected = expected_gradients(net)
    net.layer[0].weight.requires_grad_(False)
    own, local = losses(net)
    (own + localized(local, [*net.local, *net.local, *net.last.parameters()])).backward()
    assert net.layer[0].weight.grad is None
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, expected[name])
    alone = nn.Parameter(torch.ones(2))
    localized(losses(net)[1], [*net.head.parameters(), alone]).backward()
    assert alone.grad.tolist() == [0, 0]
    frozen = localized(losses(net)[1], [net.layer[0].weight])
    assert not frozen.requires_grad


def test_what_cannot_be_done_says_so(unchecked):
    net = Net()
    own, local = losses(net)
    with pytest.raises(ValueError, match="depends on none of the 2 parameters"):
        localized(local, [net.last[0].weight, net.last[0].bias])
    with pytest.raises(ValueError, match="depends on none of the"):
        localized(local.detach(), net.local)
    with pytest.raises(ValueError, match=r"the loss has shape \(3,\)"):
        localized(local.expand(3), net.local)
    with pytest.raises(RuntimeError, match="localized can be differentiated once"):
        (own + localized(local, net.local)).backward(create_graph=True)
