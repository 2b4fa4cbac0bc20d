"""Gradients formed inside the backward pass, against `loss.backward(inputs=...)` of the same loss."""

import copy
import gc
import weakref

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from helpers.one_process import squares_sent
from studygroup.functional import deferred

X = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """Three layers, and a local loss at each that is to train that layer alone."""

    def __init__(self, *, inplace: bool = False, recompute: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace), nn.Linear(4, 4), nn.Tanh()) for _ in range(3)
        )
        self.recompute = recompute
        self.double()

    def hidden(self, x: torch.Tensor) -> list[torch.Tensor]:
        found = [x]
        for layer in self.layers:
            into = found[-1]
            found.append(checkpoint(layer, into, use_reentrant=False) if self.recompute else layer(into))
        return found[1:]


def local(hidden: torch.Tensor) -> torch.Tensor:
    return hidden.square().sum()


def through(learning, events=None):
    """Forms the gradients of `local` at a layer's output."""

    def form(factor, tensor, constants):
        assert not torch.is_grad_enabled()
        if events is not None:
            events()
        (start,) = constants
        return torch.autograd.grad(tensor, learning, start * factor, retain_graph=True, allow_unused=True)

    return form


def zeros(net: Net, hidden: list[torch.Tensor], events=None) -> torch.Tensor:
    """The local losses of all layers, as zeros."""
    parts = []
    for layer, h in zip(net.layers, hidden, strict=True):
        learning = [p for p in layer.parameters() if p.requires_grad]
        parts.append(deferred(through(learning, events), h, learning, [2 * h.detach()]))
    return sum(parts)


def expected(net: Net, weight: float = 1.0) -> list[torch.Tensor]:
    """Of the network's own loss and the weighted local losses, each for its own layer."""
    net = copy.deepcopy(net)
    hidden = net.hidden(X)
    hidden[-1].sum().backward(retain_graph=True)
    for layer, h in zip(net.layers, hidden, strict=True):
        (weight * local(h)).backward(inputs=list(layer.parameters()), retain_graph=True)
    return [p.grad for p in net.parameters()]


def assert_learnt(net: Net, gradients: list[torch.Tensor]) -> None:
    for parameter, gradient in zip(net.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-14, rtol=1e-13)


@pytest.mark.parametrize("options", [{}, {"inplace": True}, {"recompute": True}])
@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_each_layer_learns_from_its_own_loss_as_well(options, weight):
    net = Net(**options)
    hidden = net.hidden(X)
    zero = zeros(net, hidden)
    assert zero.item() == 0
    (hidden[-1].sum() + weight * zero).backward()
    assert_learnt(net, expected(net, weight))


def test_alone_it_reaches_who_learns_and_nobody_else():
    net = Net()
    hidden = net.hidden(X)
    learning = list(net.layers[1].parameters())
    deferred(through(learning), hidden[1], learning, [2 * hidden[1].detach()]).backward()
    assert all(p.grad is None for layer in (net.layers[0], net.layers[2]) for p in layer.parameters())
    for parameter, gradient in zip(
        learning, torch.autograd.grad(local(net.hidden(X)[1]), learning), strict=True
    ):
        assert torch.equal(parameter.grad, gradient)
        assert gradient.any()


def test_a_layers_turn_comes_when_all_above_is_freed_and_itself_is_not():
    net = Net()
    saved: weakref.WeakSet = weakref.WeakSet()
    turns = []

    class Kept:
        def __init__(self, tensor):
            self.tensor = tensor.detach()

    def keep(tensor):
        kept = Kept(tensor)
        if tensor.shape == X.shape:  # an activation, not a weight
            saved.add(kept)
        return kept

    def count():
        gc.collect()
        turns.append(len(saved))

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept.tensor):
        hidden = net.hidden(X)
        of_layers = len(saved)
        loss = hidden[-1].sum()
    total = loss + zeros(net, hidden, count)
    del hidden, loss
    total.backward()
    assert of_layers % 3 == 0
    assert of_layers > 0
    assert turns == [of_layers, of_layers * 2 // 3, of_layers // 3]
    gc.collect()
    assert len(saved) == 0


def test_whatever_autograd_does_first_a_layer_waits_for_its_turn():
    """The place in the order only saves memory."""
    net = Net()
    hidden = net.hidden(X)
    zero = zeros(net, hidden)
    node, nodes = zero.grad_fn, []
    while node is not None:  # the sum's nodes and the zeros'
        nodes += [other for other, _ in node.next_functions if other is not None]
        node = next((n for n, _ in node.next_functions if n is not None and n.name().startswith("Add")), None)
    late = [other for other in nodes if "Deferred" in other.name()]
    assert len(late) == 3
    for each in late:
        each._set_sequence_nr(0)  # after everything
    (hidden[-1].sum() + zero).backward()
    assert_learnt(net, expected(net))


def test_gradients_accumulate_over_backward_passes_and_over_one_graph_twice():
    net = Net()
    hidden = net.hidden(X)
    total = hidden[-1].sum() + zeros(net, hidden)
    total.backward(retain_graph=True)
    total.backward()
    hidden = net.hidden(X)
    ((hidden[-1].sum() + zeros(net, hidden)) / 4).backward()
    assert_learnt(net, [2.25 * gradient for gradient in expected(net)])


def test_autograd_grad_and_chosen_inputs():
    net = Net()
    wanted = expected(net)
    hidden = net.hidden(X)
    total = hidden[-1].sum() + zeros(net, hidden)
    chosen = [list(net.parameters())[i] for i in (0, 5, 11)]
    for found, gradient in zip(
        torch.autograd.grad(total, chosen, retain_graph=True), [wanted[i] for i in (0, 5, 11)], strict=True
    ):
        torch.testing.assert_close(found, gradient, atol=1e-14, rtol=1e-13)
    total.backward(inputs=chosen)
    assert [p.grad is not None for p in net.parameters()] == [i in (0, 5, 11) for i in range(12)]


def test_the_loss_scale_comes_in_the_factor():
    net = Net()
    hidden = net.hidden(X)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**13)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    factors = []

    def form(factor, tensor, constants):
        factors.append(factor.item())
        return torch.autograd.grad(tensor, learning, 2 * tensor.detach() * factor, retain_graph=True)

    learning = list(net.layers[0].parameters())
    scaler.scale(hidden[-1].sum() + 0.5 * deferred(form, hidden[0], learning)).backward()
    assert factors == [2.0**12]
    found = [p.grad.clone() for p in learning]
    scaler.unscale_(optimizer)
    for parameter, gradient in zip(learning, found, strict=True):
        assert torch.equal(parameter.grad * 2.0**13, gradient)


def test_under_ddp_gradients_are_complete_when_they_are_sent(tmp_path):
    class Task(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = Net()

        def forward(self, x):
            hidden = self.net.hidden(x)
            return hidden[-1].sum() + zeros(self.net, hidden)

    task = Task()
    sent = squares_sent(task, X, tmp_path)
    gradients = expected(task.net)
    assert_learnt(task.net, gradients)
    torch.testing.assert_close(sent, sum(g.square().sum() for g in gradients))


def test_what_has_changed_since_is_an_error():
    net = Net()
    hidden = net.hidden(X)
    constant = 2 * hidden[1].detach()
    learning = list(net.layers[1].parameters())
    total = hidden[-1].sum() + deferred(through(learning), hidden[1], learning, [constant])
    constant.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()


def test_a_tensor_without_gradient_and_those_above_it_who_learn():
    net, head = Net().requires_grad_(False), nn.Parameter(torch.ones((), dtype=torch.float64))
    hidden = net.hidden(X)[0]
    assert not hidden.requires_grad
    zero = deferred(lambda factor, tensor, constants: [factor * tensor.sum(), None], hidden, [head, X])
    (3 * zero).backward()
    torch.testing.assert_close(head.grad, 3 * hidden.sum())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradient_it_is_a_constant(mode):
    net = Net()
    with mode():
        zero = zeros(net, net.hidden(X))
    assert not zero.requires_grad
    frozen = deferred(through([]), net.hidden(X)[0], [X])
    assert not frozen.requires_grad
    assert frozen.item() == 0
    assert deferred(through([]), torch.ones(2, dtype=torch.bfloat16), [X]).dtype == torch.float32


@pytest.mark.parametrize(
    ("dtype", "factor"), [(torch.float16, torch.float32), (torch.float64, torch.float64)]
)
def test_the_factor_is_precise_at_least(dtype, factor):
    weight = nn.Parameter(torch.ones((), dtype=dtype))
    zero = deferred(lambda factor, tensor, constants: [factor.to(dtype)], weight * 1, [weight])
    assert zero.dtype == factor
    zero.backward()
    assert weight.grad.item() == 1


def test_autocast_is_off_in_it_as_outside():
    seen = []
    weight = nn.Parameter(torch.ones(2, 2))

    def form(factor, tensor, constants):
        seen.append(torch.is_autocast_enabled("cpu"))
        return [factor * tensor]

    with torch.autocast("cpu"):
        deferred(form, weight * 1, [weight]).backward()
    assert seen == [False]


def test_a_second_derivative_is_refused(unchecked):
    net = Net()
    hidden = net.hidden(X)
    with pytest.raises(RuntimeError, match="whose gradient is deferred can be differentiated once"):
        (hidden[-1].sum() + zeros(net, hidden)).backward(create_graph=True)
