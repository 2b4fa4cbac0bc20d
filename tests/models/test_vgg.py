import copy
import pickle
from itertools import pairwise

import pytest
import torch
import torchvision.models
from torch import nn

from helpers.networks import assert_real_and_learning
from studygroup.models import build, cifar_resnet18, cifar_vgg16, classifier


def test_the_convolutions_have_torchvisions_names_and_shapes():
    with torch.device("meta"):
        net, original = cifar_vgg16(10), torchvision.models.vgg16_bn(num_classes=10)
    shapes = [{name: tensor.shape for name, tensor in m.state_dict().items()} for m in (net, original)]
    assert list(shapes[0]) == list(shapes[1])
    differ = {name for name in shapes[0] if shapes[0][name] != shapes[1][name]}
    assert differ == {
        "classifier.0.weight",
        "classifier.0.bias",
        "classifier.3.weight",
        "classifier.3.bias",
    } | {"classifier.6.weight"}


def parameters(width, hidden, classes):
    """Of 3x3 convolutions with bias and norm, and of linear maps."""
    filters = [3] + [width * f for f in (1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 8, 8)]
    total = sum(9 * a * b + 3 * b for a, b in pairwise(filters))
    sizes = [filters[-1], *hidden, classes]
    return total + sum((a + 1) * b for a, b in pairwise(sizes))


@pytest.mark.parametrize(
    ("width", "hidden", "classes"),
    [(64, (512, 512), 10), (128, (512, 512), 100), (16, (), 7), (16, (32,), 7)],
)
def test_twice_the_filters_leave_the_fully_connected_layers_as_they_are(width, hidden, classes):
    with torch.device("meta"):
        net = cifar_vgg16(classes, width=width, hidden=hidden)
    assert sum(p.numel() for p in net.parameters()) == parameters(width, hidden, classes)
    linear = [m for m in net.modules() if isinstance(m, nn.Linear)]
    assert [m.out_features for m in linear] == [*hidden, classes]
    assert linear[0].in_features == 8 * width


@pytest.mark.parametrize("pixels", [32, 64, 96])
@pytest.mark.parametrize("make", [cifar_vgg16, cifar_resnet18])
def test_any_size_from_32_pixels(make, pixels):
    net = make(7, width=16, channels=1, hidden=(24, 12), dropout=0.3).eval()
    assert net(torch.randn(2, 1, pixels, pixels)).shape == (2, 7)
    dropouts = [m for m in net.modules() if isinstance(m, nn.Dropout)]
    assert [m.p for m in dropouts] == [0.3, 0.3]


def test_five_poolings_leave_one_pixel_of_32():
    net = cifar_vgg16(7, width=8).eval()
    shapes = {}
    for number, layer in enumerate(net.features):
        if isinstance(layer, nn.MaxPool2d):
            layer.register_forward_hook(lambda _, __, out, n=number: shapes.update({n: tuple(out.shape)}))
    net(torch.randn(2, 3, 32, 32))
    assert list(shapes.values()) == [(2, c, s, s) for c, s in ((8, 16), (16, 8), (32, 4), (64, 2), (64, 1))]


def test_three_fully_connected_layers_with_dropout_in_the_first_two():
    for net in (cifar_vgg16(10).classifier, cifar_resnet18(10, hidden=(512, 512)).fc):
        kinds = [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
        assert [type(layer) for layer in net] == kinds
        assert [m.p for m in net if isinstance(m, nn.Dropout)] == [0.5, 0.5]
        assert [m.in_features for m in net if isinstance(m, nn.Linear)] == [512, 512, 512]


def test_a_wider_resnet_keeps_its_hidden_layers():
    with torch.device("meta"):
        net = cifar_resnet18(10, width=128, hidden=(512, 512))
    assert [tuple(m.weight.shape) for m in net.fc if isinstance(m, nn.Linear)] == [
        (512, 1024),
        (512, 512),
        (10, 512),
    ]
    assert type(cifar_resnet18(10, width=16).fc) is nn.Linear


def test_every_parameter_is_real_and_learns():
    assert_real_and_learning(cifar_vgg16(10, width=8), torch.randn(4, 3, 32, 32))


def test_initialisation():
    torch.manual_seed(0)
    net = cifar_vgg16(10, width=32)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            assert not layer.bias.any()
            if layer.weight.numel() > 5000:
                assert layer.weight.std().item() == pytest.approx(
                    (2 / (9 * layer.out_channels)) ** 0.5, rel=0.05
                )
        elif isinstance(layer, nn.Linear) and layer.weight.numel() > 5000:
            assert layer.weight.std().item() == pytest.approx((3 * layer.in_features) ** -0.5, rel=0.05)


def test_a_pickle_needs_torchvision_alone():
    net = cifar_vgg16(10, width=8)
    assert type(net) is torchvision.models.VGG
    content = pickle.dumps(net)
    assert b"studygroup" not in content
    images = torch.randn(2, 3, 32, 32)
    for other in (pickle.loads(content), copy.deepcopy(net)):
        assert torch.equal(other.eval()(images), net.eval()(images))


def test_by_name():
    net = build("cifar_vgg16", classes=5, channels=1, width=8, hidden=[16], dropout=0.1)
    assert net.features[0].weight.shape == (8, 1, 3, 3)
    assert net.classifier[-1].weight.shape == (5, 16)
    assert build("cifar_resnet18", classes=5, width=16, hidden=[16]).fc[-1].weight.shape == (5, 16)


def test_the_classifier_fits_any_network():
    with torch.device("meta"):
        net = build("torchvision/resnet101", classes=10)
        net.fc = classifier(net.fc.in_features, 10)
        assert net(torch.randn(2, 3, 64, 64)).shape == (2, 10)


@pytest.mark.parametrize("options", [{"width": 0}, {"channels": 0}, {"hidden": (512, 0)}])
def test_sizes_out_of_range(options):
    for make in (cifar_vgg16, cifar_resnet18):
        with pytest.raises(ValueError, match="give at least 1 for each"):
            make(10, **options)
