import copy

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from studygroup._engine.isolate import without_side_effects


class Counter(nn.Module):
    """A module of the user's own that writes to a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        self.count += 1
        return x


def network() -> nn.Module:
    return nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4)),
        nn.BatchNorm1d(4),
        Counter(),
        nn.Dropout(0.5),
    )


@pytest.mark.parametrize("training", [True, False])
def test_nothing_moves(training):
    net = network()
    net[1].eval()  # a frozen norm stays frozen afterwards
    before, modes = copy.deepcopy(net.state_dict()), [m.training for m in net.modules()]
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    with without_side_effects(net, training=training):
        out = net(torch.randn(8, 4) * 5 + 2)
        assert [m.training for m in net.modules()] == [training] * len(modes)
    assert not out.requires_grad
    assert torch.equal(torch.rand(4), expected)
    assert [m.training for m in net.modules()] == modes
    assert net[1].track_running_stats
    after = net.state_dict()
    if training:
        assert all(torch.equal(after[key], value) for key, value in before.items())


def test_batch_statistics_are_used_and_not_kept():
    norm = nn.BatchNorm1d(4)
    x = torch.randn(64, 4) * 5 + 2
    with without_side_effects(norm, training=True):
        out = norm(x)
    assert out.mean().abs() < 1e-5
    assert norm.num_batches_tracked == 0
    with without_side_effects(norm, training=False):
        torch.testing.assert_close(norm(x), x, atol=1e-4, rtol=1e-4)


def test_statistics_of_norms_need_no_copy():
    """They do not move, and are as large as what a step of small networks reads."""
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4))

    class Copies(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.count += func.overloadpacket in (torch.ops.aten.clone, torch.ops.aten.copy_)
            return func(*args, **(kwargs or {}))

    for more, expected in ((), 0), ((Counter(),), 1):
        with Copies() as seen, without_side_effects(nn.Sequential(net, *more), training=True):
            pass
        assert seen.count == expected


def test_masks_come_from_the_seed():
    net, x = nn.Dropout(0.5), torch.ones(100)
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(masks))
        with without_side_effects(net, training=True, seed=seed):
            masks.append(net(x))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_the_model_is_put_back_after_an_error():
    net = network()
    with pytest.raises(RuntimeError), without_side_effects(net, training=True):
        net(torch.randn(8, 5))
    assert net[1].track_running_stats
    assert net.training


class Scaled(nn.Module):
    """Multiplies by a buffer, which the graph then holds."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.full((4,), 3.0))

    def forward(self, x):
        return x * self.scale


def test_answers_may_have_a_gradient_and_still_leave_no_trace():
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), Counter(), Scaled())
    before = copy.deepcopy(net.state_dict())
    x = torch.randn(8, 4)
    with without_side_effects(net, training=True, gradient=True):
        out = net(x)
    assert all(torch.equal(net.state_dict()[key], value) for key, value in before.items())
    out.square().sum().backward()
    found = net[0].weight.grad.clone()
    net.zero_grad()
    net(x).square().sum().backward()
    torch.testing.assert_close(found, net[0].weight.grad)
    with torch.no_grad(), without_side_effects(net, training=True, gradient=True):
        assert not net(x).requires_grad
