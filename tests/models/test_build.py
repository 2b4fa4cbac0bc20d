import pytest
import timm.models
import torch
import torchvision.models

from studygroup.models import build


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cifar_resnet18", torchvision.models.ResNet),
        ("cifar_resnet32", torchvision.models.ResNet),
        ("cifar_resnet110", torchvision.models.ResNet),
        ("torchvision/mobilenet_v3_small", torchvision.models.MobileNetV3),
        ("mobilenet_v3_small", torchvision.models.MobileNetV3),
        ("timm/resnet10t", timm.models.ResNet),
        ("resnet10t", timm.models.ResNet),
        ("resnet18", torchvision.models.ResNet),  # timm has one too
        ("timm/resnet18", timm.models.ResNet),
    ],
)
def test_names_are_looked_up_in_order(name, kind):
    assert type(build(name, classes=7)) is kind


def test_classes_channels_and_options():
    net = build("timm/vit_tiny_patch16_224", classes=7, channels=1, img_size=32, patch_size=8, depth=1).eval()
    assert net(torch.randn(2, 1, 32, 32)).shape == (2, 7)
    assert build("cifar_resnet18", classes=5, channels=1, width=16).conv1.weight.shape == (16, 1, 3, 3)
    assert build("torchvision/resnet18", classes=5, width_per_group=64).fc.out_features == 5


@pytest.mark.parametrize(
    ("name", "near"),
    [("cifar_resnet81", "cifar_resnet18"), ("timm/resnet19", "timm/resnet18"), ("resnt50", "resnet50")],
)
def test_unknown_names_are_told_with_near_ones(name, near):
    with pytest.raises(ValueError, match=f"there is no network '{name}'; did you mean .*{near}"):
        build(name, classes=2)


@pytest.mark.parametrize("name", ["timm/cifar_resnet18", "torchvision/resnet10t", "other/resnet18"])
def test_a_library_is_taken_at_its_word(name):
    with pytest.raises(ValueError, match="there is no network"):
        build(name, classes=2)


def test_torchvision_takes_three_channels():
    with pytest.raises(ValueError, match="takes images of 3 channels, not 1; try 'timm/resnet18'"):
        build("torchvision/resnet18", classes=2, channels=1)
