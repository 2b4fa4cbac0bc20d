"""Which convolutions are layers: counted as the papers count, on the meta device where size does not matter."""

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision.models
from torch import nn

from helpers.networks import CASES
from studygroup.layers import ConvLayer, convolution_groups, convolution_layers
from studygroup.models import cifar_resnet18, cifar_vgg16, vdcnn9


def found(make, pixels=64):
    with torch.device("meta"):
        return convolution_layers(make(), torch.empty(2, 3, pixels, pixels))


def names(layers):
    return [layer.convolution for layer in layers]


# the layers with weights that a network is named for, less its linear classifier
@pytest.mark.parametrize(
    ("make", "groups"),
    [
        (lambda: cifar_resnet18(10, width=16, hidden=(8, 8)), (5, 4, 4, 4)),
        (lambda: cifar_vgg16(10), (2, 2, 3, 3, 3)),
        (torchvision.models.vgg16, (2, 2, 3, 3, 3)),
        (torchvision.models.resnet18, (1, 4, 4, 4, 4)),
        (
            torchvision.models.resnet101,
            (1, 10, 12, 69, 8),
        ),  # a bottleneck's first 1x1 is as large as the last group
        (torchvision.models.densenet121, (1, 13, 25, 49, 32)),
        (lambda: timm.create_model("seresnet18"), (1, 4, 4, 4, 4)),  # gates are left out
        (torchvision.models.mobilenet_v3_small, (1, 3, 6, 15, 9)),
    ],
)
def test_layers_are_counted_as_in_the_networks_name(make, groups):
    layers = found(make)
    assert tuple(len(group) for group in convolution_groups(layers)) == groups
    assert len(set(names(layers))) == len(layers) == sum(groups)
    assert not any("downsample" in name or "fc" in name for name in names(layers))


def test_each_layer_has_its_norm_and_its_activation():
    layers = found(lambda: cifar_resnet18(10, width=16), 32)
    assert layers[0] == ConvLayer("conv1", "bn1", "relu", (32, 32))
    blocks = [f"layer{group}.{block}" for group in (1, 2, 3, 4) for block in (0, 1)]
    for number, block in enumerate(blocks):
        space = (32 >> number // 2,) * 2
        assert layers[1 + 2 * number] == ConvLayer(f"{block}.conv1", f"{block}.bn1", f"{block}.relu", space)
        # its activation comes after the sum
        assert layers[2 + 2 * number] == ConvLayer(f"{block}.conv2", f"{block}.bn2", None, space)
    assert [group[0].convolution for group in convolution_groups(layers)[1:]] == [
        f"layer{group}.0.conv1" for group in (2, 3, 4)
    ]
    first = (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)
    expected = [(f"features.{i}", f"features.{i + 1}", f"features.{i + 2}") for i in first]
    assert [(n.convolution, n.norm, n.activation) for n in found(lambda: cifar_vgg16(10), 32)] == expected
    plain = found(torchvision.models.vgg11)
    assert {layer.norm for layer in plain} == {None}
    assert plain[0].activation == "features.1"


@pytest.mark.parametrize("shortcut", [False, True])
def test_convolutions_over_characters(shortcut):
    net = vdcnn9(3, width=2, hidden=4, shortcut=shortcut)
    layers = convolution_layers(net, {"input_ids": torch.randint(69, (2, 64))})
    assert tuple(len(group) for group in convolution_groups(layers)) == (3, 2, 2, 2)
    assert layers[0] == ConvLayer("stem", None, None, (64,))
    assert layers[3] == ConvLayer("levels.1.conv1", "levels.1.bn1", "levels.1.relu", (32,))
    assert layers[8].activation == (None if shortcut else "levels.3.relu")


class Residual(nn.Module):
    """A block that can be spelt in several ways."""

    def __init__(self, *, add="plain", gate=None, kernel=3):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.one, self.two = (nn.Conv2d(4, 4, kernel, padding=kernel // 2) for _ in range(2))
        self.shortcut = nn.Conv2d(4, 4, 1)
        self.add, self.gate = add, gate
        self.first, self.second = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        x = self.stem(x)
        short = self.shortcut(x)
        y = self.two(F.relu(self.one(x)))
        if self.gate:
            gate = self.second(
                self.first(y.mean((2, 3), keepdim=True) if self.gate != "full" else y)
            ).sigmoid()
            y = {
                "mul": lambda: y * gate,
                "flipped": lambda: torch.mul(gate, y),
                "full": lambda: y.mul_(gate),
            }[self.gate]()
        if self.add == "plain":
            y = y + short
        elif self.add == "inplace":
            y += short
        else:
            y = torch.stack([short, y]).sum(0)
        return self.fc(y.relu().mean((2, 3)))


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("add", ["plain", "inplace", "stacked"])
@pytest.mark.parametrize("gate", [None, "mul", "flipped", "full"])
@pytest.mark.parametrize("pixels", [1, 8])
def test_shortcuts_and_gates_are_no_layers(kernel, add, gate, pixels):
    model = Residual(add=add, gate=gate, kernel=kernel)
    layers = convolution_layers(model, torch.randn(3, 3, pixels, pixels))
    assert names(layers) == ["stem", "one", "two"]


def test_ways_of_equal_length_are_all_layers():
    layers = found(lambda: torchvision.models.googlenet(init_weights=False))
    assert len(layers) == 3 + 9 * 4  # the branches of two convolutions, not those of one
    assert {name.split(".")[1] for name in names(layers) if "inception" in name} == {"branch2", "branch3"}


def test_a_convolution_that_classifies_is_no_layer():
    layers = found(torchvision.models.squeezenet1_0)
    assert len(layers) == 1 + 8 * 3
    assert "classifier.1" not in names(layers)


class Shared(nn.Module):
    """One convolution called three times, its own norm each time, another between the calls."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm1d(4) for _ in range(3))
        self.between = nn.Conv1d(4, 4, 1)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        for norm in self.norms[:2]:
            x = norm(self.conv(x))
        return self.fc(self.norms[2](self.conv(self.between(x))).mean(-1))


def test_a_layer_that_is_called_again_counts_once():
    layers = convolution_layers(Shared(), torch.randn(2, 4, 6))
    assert layers == (ConvLayer("conv", "norms.0", None, (6,)), ConvLayer("between", None, None, (6,)))


class NormedConv(nn.Module):
    """A block whose name says norm, and which is none."""

    def __init__(self):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return self.conv(self.norm(x))


def test_a_block_with_a_norm_in_its_name_is_looked_into():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), NormedConv(), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
    first, second = convolution_layers(model, torch.randn(2, 3, 2, 2))
    assert first == ConvLayer("0", "1.norm", None, (2, 2))
    assert second == ConvLayer("1.conv", None, "2", (2, 2))


class Opaque(nn.Module):
    """Leaves PyTorch on the way, so that nothing in it can be watched."""

    def forward(self, x):
        return torch.from_numpy(x.numpy() * 2)


def test_a_chain_goes_on_through_a_module_that_cannot_be_watched():
    layers = [nn.Conv2d(3, 4, 1), Opaque(), nn.Conv2d(4, 4, 1), nn.Flatten(), nn.Linear(16, 2)]
    found = convolution_layers(nn.Sequential(*layers), torch.randn(2, 3, 2, 2))
    assert names(found) == ["0", "2"]


class Changed(nn.Module):
    """A norm and an activation on something other than the convolution's output."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        h = self.conv(x)
        h += 1
        return self.fc(self.act(self.norm(h)).mean((2, 3)))


def test_a_norm_of_what_has_been_changed_is_not_the_layers():
    layers = convolution_layers(Changed(), torch.randn(2, 3, 4, 4))
    assert layers == (ConvLayer("conv", None, None, (2, 2)),)


def test_libraries_have_norms_of_their_own():
    layers = found(lambda: timm.create_model("test_efficientnet"))
    assert (layers[0].norm, layers[-1].norm) == ("bn1", "bn2")  # an activation is inside
    frozen = found(lambda: torchvision.models.resnet18(norm_layer=torchvision.ops.FrozenBatchNorm2d))
    assert frozen[0] == ConvLayer("conv1", "bn1", "relu", (32, 32))


def test_nothing_is_left_behind():
    model = CASES["resnet"].build()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    convolution_layers(model, CASES["resnet"].inputs(3))
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("case", ["bert", "mlp"])
def test_networks_without_convolutions(case):
    with pytest.raises(ValueError, match=r"calls no nn.Conv1d, .* name the layers yourself"):
        convolution_layers(CASES[case].build(), CASES[case].inputs(2))
