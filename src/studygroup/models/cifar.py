"""Residual networks for small images, as instances of torchvision's own class."""

from collections.abc import Sequence

import torch
from torch import nn
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock


def cifar_resnet18(classes: int, *, width: int = 64, channels: int = 3) -> ResNet:
    """ResNet-18 with the usual stem for images of about 32 x 32: one 3x3 convolution, no pooling.

    Everything else, parameter names and initialisation included, is as in torchvision, so a saved model loads
    without this package.

    Args:
        classes: how many classes.
        width: channels of the stem and the first group of blocks; each later group has twice the one before.
            Take 16 or more, or keep tensors contiguous: with 8, PyTorch 2.14 on the CPU can corrupt memory in
            the backward pass of the 1x1 convolutions of stride 2 in the `channels_last` memory format.
        channels: of the images.

    Returns:
        A network from (N, channels, height, width) to logits (N, classes).
    """
    return _resnet([2, 2, 2, 2], classes=classes, width=width, channels=channels)


def cifar_resnet34(classes: int, *, width: int = 64, channels: int = 3) -> ResNet:
    """ResNet-34 for small images; see `cifar_resnet18`.

    Args:
        classes: how many classes.
        width: channels of the stem; the warning at `cifar_resnet18` holds here too.
        channels: of the images.
    """
    return _resnet([3, 4, 6, 3], classes=classes, width=width, channels=channels)


def _resnet(depths: Sequence[int], *, classes: int, width: int, channels: int) -> ResNet:
    """A network of the given depths: torchvision's class with other layers put in."""
    if min(classes, width, channels) < 1:
        raise ValueError(
            f"classes, width and channels are {classes}, {width} and {channels}; give at least 1 for each"
        )
    # layers of the usual width are thrown away: on meta they are neither allocated nor drawn
    with torch.device("meta"):
        net = ResNet(BasicBlock, list(depths), num_classes=classes)
    net.conv1 = nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False)
    net.bn1 = nn.BatchNorm2d(width)
    net.maxpool = nn.Identity()
    net.inplanes = width
    for group, depth in enumerate(depths):
        layers = net._make_layer(BasicBlock, width * 2**group, depth, stride=1 if group == 0 else 2)
        setattr(net, f"layer{group + 1}", layers)
    net.fc = nn.Linear(net.inplanes, classes)
    # as torchvision; batch norms and linear layers begin so by themselves
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return net
