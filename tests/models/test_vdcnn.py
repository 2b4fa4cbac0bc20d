"""VDCNN against loops written from the paper, its sizes, and what it does with rows of any length."""

from itertools import pairwise

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.networks import assert_real_and_learning
from studygroup.layers import blocks, last_group
from studygroup.models import vdcnn9
from studygroup.models.vdcnn import Convolution, k_max


def ids(rows, length, seed=0):
    return torch.randint(1, 69, (rows, length), generator=torch.Generator().manual_seed(seed))


def weights(modules):
    return sum(m.weight.numel() for m in modules)


def test_sizes_of_the_paper():
    with torch.device("meta"):
        net = vdcnn9(5)
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv1d)]
    assert len(convolutions) == 9  # the depth
    sizes = [16, 64, 64, 64, 128, 128, 256, 256, 512, 512]
    assert [(m.in_channels, m.out_channels) for m in convolutions] == list(pairwise(sizes))
    assert weights(convolutions) == sum(3 * a * b for a, b in pairwise(sizes)) == 1_575_936
    linear = [m for m in net.modules() if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(4096, 2048), (2048, 2048), (2048, 5)]
    others = 69 * 16 + 64 + 2 * sum(sizes[2:]) + sum(m.out_features for m in linear)
    total = weights(convolutions) + weights(linear) + others
    assert sum(p.numel() for p in net.parameters()) == total


def test_resolution_is_halved_between_levels():
    net = vdcnn9(3, width=2, hidden=4).eval()
    shapes = {}
    for name in ("levels.0", "levels.1", "levels.2", "levels.3", "fc"):
        net.get_submodule(name).register_forward_hook(
            lambda _, given, out, name=name: shapes.update({name: (*given[0].shape[1:], *out.shape[1:])})
        )
    assert net(ids(2, 1014)).shape == (2, 3)
    assert list(shapes.values()) == [
        (1014, 2, 1014, 2), (1014, 2, 507, 4), (507, 4, 254, 8), (254, 8, 127, 16), (16 * 8, 3)
    ]  # fmt: skip


def convolved(x, weight, bias):
    """Size 3 (or 1) with zeros at the ends; x is a list of positions, each a list of channels."""
    filters, channels, size = weight.shape
    out = []
    for t in range(len(x)):
        row = []
        for f in range(filters):
            total = bias[f] if bias is not None else weight.new_zeros(())
            for j in range(size):
                at = t + j - size // 2
                if 0 <= at < len(x):
                    total = total + sum(weight[f, c, j] * x[at][c] for c in range(channels))
            row.append(total)
        out.append(row)
    return out


def normed(x, bn):
    scale = bn.weight / (bn.running_var + bn.eps).sqrt()
    return [
        [(v - bn.running_mean[c]) * scale[c] + bn.bias[c] for c, v in enumerate(position)] for position in x
    ]


def rectified(x):
    return [[v.clamp(min=0) for v in position] for position in x]


def halved(x):
    """The largest of three positions, every second."""
    return [
        [max(x[at][c] for at in range(t - 1, t + 2) if 0 <= at < len(x)) for c in range(len(x[0]))]
        for t in range(0, len(x), 2)
    ]


def k_largest(values, k):
    """The earlier of equal ones, in their order."""
    taken = sorted(sorted(range(len(values)), key=lambda i: (-values[i], i))[:k])
    return [values[i] for i in taken]


def logits_by_loop(net, row):
    x = convolved([list(net.embedding.weight[i]) for i in row], net.stem.weight, net.stem.bias)
    for number, block in enumerate(net.levels):
        x = halved(x) if number else x
        new = rectified(normed(convolved(x, block.conv1.weight, None), block.bn1))
        new = normed(convolved(new, block.conv2.weight, None), block.bn2)
        if block.shortcut is not None:
            short = x if number == 0 else convolved(x, block.shortcut.weight, None)
            new = [[a + b for a, b in zip(*pair, strict=True)] for pair in zip(new, short, strict=True)]
        x = rectified(new)
    h = [v for c in range(len(x[0])) for v in k_largest([position[c] for position in x], net.pooled)]
    for layer in net.fc:
        if isinstance(layer, nn.Linear):
            h = [
                sum(w * v for w, v in zip(row, h, strict=True)) + b
                for row, b in zip(layer.weight, layer.bias, strict=True)
            ]
        elif isinstance(layer, nn.ReLU):
            h = [v.clamp(min=0) for v in h]
    return torch.stack(h)


@pytest.mark.parametrize("shortcut", [False, True])
def test_the_network_by_loops(shortcut):
    torch.manual_seed(0)
    net = vdcnn9(3, embedding=2, width=1, pooled=2, hidden=4, shortcut=shortcut).double().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            for values in (module.running_mean, module.bias.data):
                values.normal_(std=0.3)
            for values in (module.running_var, module.weight.data):
                values.uniform_(0.5, 2)
    x = ids(2, 11)
    found = net(x)
    expected = torch.stack([logits_by_loop(net, row.tolist()) for row in x])
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
    assert (found[0] - found[1]).abs().max() > 1e-3
    parameters = list(net.parameters())
    for a, b in zip(
        torch.autograd.grad(found.square().sum(), parameters),
        torch.autograd.grad(expected.square().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-12)


def test_k_max_pooling_by_a_loop():
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(3, 4, 9, generator=draw, dtype=torch.float64).relu()
    values[0, 0] = torch.tensor([0.0, 5.0, 0.0, 3.0, 0.0, 5.0, 0.0, 0.0, 5.0])  # ties decide the order
    values[1, 2] = -values[1, 2] - 1
    values.requires_grad_()
    slope = torch.randn(3, 4, 5, generator=draw, dtype=torch.float64)
    found = k_max(values, 5)
    flat = [k_largest(list(channel), 5) for row in values for channel in row]
    expected = torch.stack([torch.stack(channel) for channel in flat]).view(3, 4, 5)
    assert found[0, 0].tolist() == [0, 5, 3, 5, 5]
    assert torch.equal(found, expected)
    gradients = [torch.autograd.grad((out * slope).sum(), values)[0] for out in (found, expected)]
    assert torch.equal(*gradients)
    assert torch.equal(k_max(values, 9), values)


def test_short_rows_are_filled_up_to_what_k_max_pooling_needs():
    net = vdcnn9(3, width=2, hidden=4, padding=7).eval()
    short = ids(3, 20)
    filled = torch.cat([short, torch.full((3, 37), 7)], 1)  # 8 · 8 − 7 = 57
    assert torch.equal(net(short), net(filled))
    longer = torch.cat([filled, torch.full((3, 1), 7)], 1)
    assert not torch.equal(net(longer), net(filled))


def test_padding_is_a_character_and_the_mask_is_not_used():
    net = vdcnn9(3, width=2, hidden=4).eval()
    x = ids(2, 60)
    mask = torch.arange(60).expand(2, -1) < 30
    assert torch.equal(net(x, mask), net(x))
    assert torch.equal(net(input_ids=x, attention_mask=mask.long()), net(x))
    assert net.embedding.padding_idx is None


@pytest.mark.parametrize("shortcut", [False, True])
def test_every_parameter_is_real_and_learns(shortcut):
    torch.manual_seed(0)
    assert_real_and_learning(vdcnn9(3, width=8, hidden=16, shortcut=shortcut), ids(8, 60))


def test_convolutions_begin_and_are_drawn_anew_as_in_he_et_al():
    torch.manual_seed(0)
    net = vdcnn9(3, width=32, hidden=4, shortcut=True)
    copies = sg.StudyGroup(net, sg.routes.independent(["levels.3", "fc"], students=2)).copies("levels.3")
    found = [m for part in (net, copies[1]) for m in part.modules() if isinstance(m, Convolution)]
    assert len(found) == 9 + 3 + 3
    for layer in found:
        inputs = layer.in_channels * layer.kernel_size[0]
        if layer.weight.numel() > 4000:
            assert layer.weight.std().item() == pytest.approx((2 / inputs) ** 0.5, rel=0.05)
        assert layer.bias is None or not layer.bias.any()
    assert not torch.equal(copies[0].conv1.weight, copies[1].conv1.weight)


def test_five_layers_to_route():
    net = vdcnn9(3, width=2, hidden=4)
    assert blocks(net) == (("embedding", "stem"), *(f"levels.{i}" for i in range(4)))
    assert last_group(net) == ("levels.3", "fc")
    table = sg.routes.random(blocks(net), students=32, modules=2).table
    assert len(set(zip(*table, strict=True))) == 32


def test_the_number_of_rows_stays_free_in_an_exported_program():
    net = vdcnn9(3, width=2, pooled=2, hidden=4).eval()
    free = {0: torch.export.Dim("rows")}  # PyTorch's max pooling fixes the length
    program = torch.export.export(net, (ids(3, 20),), dynamic_shapes=(free,), strict=False)
    for rows in (1, 5):
        x = ids(rows, 20)
        torch.testing.assert_close(program.module()(x), net(x))


@pytest.mark.parametrize(
    "options",
    [{"vocabulary": 0}, {"embedding": 0}, {"width": 0}, {"pooled": 0}, {"hidden": 0}, {"padding": 69},
     {"padding": -1}, {"classes": 0}],
)  # fmt: skip
def test_sizes_out_of_range(options):
    with pytest.raises(ValueError, match="give at least 1 for each"):
        vdcnn9(**({"classes": 3} | options))
