import copy
import pickle

import pytest
import torch
import torchvision.models
from torch import nn

from helpers.networks import assert_real_and_learning
from studygroup.layers import last_group
from studygroup.models import (
    cifar_resnet8,
    cifar_resnet18,
    cifar_resnet20,
    cifar_resnet32,
    cifar_resnet34,
    cifar_resnet101,
    cifar_resnet110,
)


@pytest.mark.parametrize(
    ("make", "official"),
    [(cifar_resnet18, "resnet18"), (cifar_resnet34, "resnet34"), (cifar_resnet101, "resnet101")],
)
def test_names_and_shapes_are_torchvisions_but_for_the_stem(make, official):
    net, original = make(10, width=64), torchvision.models.get_model(official, num_classes=10)
    ours = {name: tensor.shape for name, tensor in net.state_dict().items()}
    theirs = {name: tensor.shape for name, tensor in original.state_dict().items()}
    assert list(ours) == list(theirs)
    assert {name for name in ours if ours[name] != theirs[name]} == {"conv1.weight"}
    assert ours["conv1.weight"] == (64, 3, 3, 3)


# the usual counts for ten classes of 32 x 32 images
@pytest.mark.parametrize(
    ("make", "parameters"),
    [(cifar_resnet18, 11_173_962), (cifar_resnet34, 21_282_122), (cifar_resnet101, 42_512_970)],
)
def test_number_of_parameters(make, parameters):
    assert sum(p.numel() for p in make(10).parameters()) == parameters


@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_on_the_way(channels):
    net = cifar_resnet18(7, width=16, channels=channels).eval()
    shapes = {}
    for name, layer in net.named_children():
        layer.register_forward_hook(lambda _, __, out, name=name: shapes.update({name: tuple(out.shape)}))
    assert net(torch.randn(2, channels, 32, 32)).shape == (2, 7)
    assert shapes["maxpool"] == (2, 16, 32, 32)
    assert [shapes[f"layer{i}"] for i in (1, 2, 3, 4)] == [(2, 16 * 2**i, 32 >> i, 32 >> i) for i in range(4)]


def test_every_parameter_is_real_and_learns():
    assert_real_and_learning(cifar_resnet18(10, width=16), torch.randn(4, 3, 16, 16))


def test_initialisation_is_torchvisions():
    torch.manual_seed(0)
    net, original = cifar_resnet18(10), torchvision.models.resnet18(num_classes=10)
    for name, parameter in net.named_parameters():
        other = original.get_parameter(name)
        if parameter.numel() > 5000 and parameter.shape == other.shape:
            assert parameter.std().item() == pytest.approx(other.std().item(), rel=0.04), name
        elif "bn" in name:
            assert torch.equal(parameter, other), name
    assert net.conv1.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.1)


def test_weights_follow_the_seed():
    def weights(seed):
        torch.manual_seed(seed)
        return nn.utils.parameters_to_vector(cifar_resnet18(10, width=16).parameters())

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize(("make", "official"), [(cifar_resnet18, "resnet18"), (cifar_resnet101, "resnet101")])
def test_torchvisions_network_gives_the_same_logits_with_our_weights(make, official):
    torch.manual_seed(0)
    net, other = make(10), torchvision.models.get_model(official, num_classes=10)
    net(torch.randn(4, 3, 16, 16))  # moves the running statistics
    other.conv1, other.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    other.load_state_dict(net.state_dict())
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(net.eval()(images), other.eval()(images))


def test_copies_and_pickles_answer_alike():
    net = cifar_resnet18(10, width=16)
    images = torch.randn(2, 3, 16, 16)
    for other in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert torch.equal(other.eval()(images), net.eval()(images))


@pytest.mark.parametrize("options", [{"width": 0}, {"channels": 0}])
def test_sizes_out_of_range(options):
    with pytest.raises(ValueError, match="give at least 1 for each"):
        cifar_resnet18(10, **options)


# He et al. 2016 count 0.27, 0.46 and 1.7 million; ours have 2,752 more in two convolutional shortcuts
@pytest.mark.parametrize(
    ("make", "layers", "parameters"),
    [
        (cifar_resnet8, 8, 78_042),
        (cifar_resnet20, 20, 272_474),
        (cifar_resnet32, 32, 466_906),
        (cifar_resnet110, 110, 1_730_714),
    ],
)
def test_narrow_networks_have_three_groups_and_as_many_layers_as_their_name_says(make, layers, parameters):
    net = make(10)
    assert sum(p.numel() for p in net.parameters()) == parameters
    weighty = [name for name, p in net.named_parameters() if p.ndim > 1 and "downsample" not in name]
    assert len(weighty) == layers
    assert last_group(net) == ("layer3", "fc")


def test_shapes_on_the_way_through_a_narrow_network():
    net = cifar_resnet32(7, channels=1).eval()
    shapes = {}
    for name, layer in net.named_children():
        layer.register_forward_hook(lambda _, __, out, name=name: shapes.update({name: tuple(out.shape)}))
    assert net(torch.randn(2, 1, 32, 32)).shape == (2, 7)
    assert [shapes[f"layer{i}"] for i in (1, 2, 3)] == [(2, 16 * 2**i, 32 >> i, 32 >> i) for i in range(3)]


def test_every_parameter_of_a_narrow_network_learns():
    net = cifar_resnet20(10)
    net(torch.randn(4, 3, 16, 16)).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
