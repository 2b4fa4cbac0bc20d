"""Residual networks for small images, named as in the papers that use them."""

from collections.abc import Sequence

from studygroup.models.head import classifier
from studygroup.models.resnet import Bottleneck, ResNet


def cifar_resnet18(
    classes: int, *, width: int = 64, channels: int = 3, hidden: Sequence[int] = (), dropout: float = 0.5
) -> ResNet:
    """Build ResNet-18 with the usual stem for images of about 32 x 32: one 3x3 convolution, no pooling.

    Everything else, parameter names and initialisation included, is as in torchvision.

    Args:
        classes: how many classes.
        width: channels of the stem and the first group of blocks; they double with each later group.
            Take 16 or more, or keep tensors contiguous: with 8, PyTorch 2.14 on the CPU can corrupt memory in
            the backward pass of the 1x1 convolutions of stride 2 in the `channels_last` memory format.
        channels: of the images.
        hidden: widths of fully connected layers before the last, see `classifier`; `(512, 512)` is the intra-model
            paper's ResNet-18 of three fully connected layers. They do not follow `width`.
        dropout: rate of the dropout after each of them.

    Returns:
        A network from (N, channels, height, width) to logits (N, classes).
    """
    net = ResNet([2, 2, 2, 2], classes=classes, width=width, channels=channels)
    return _with_classifier(net, classes, hidden=hidden, dropout=dropout)


def cifar_resnet34(classes: int, *, width: int = 64, channels: int = 3) -> ResNet:
    """Build ResNet-34 for small images; see `cifar_resnet18`.

    Args:
        classes: how many classes.
        width: channels of the stem; the warning at `cifar_resnet18` applies here too.
        channels: of the images.
    """
    return ResNet([3, 4, 6, 3], classes=classes, width=width, channels=channels)


def cifar_resnet101(
    classes: int, *, width: int = 64, channels: int = 3, hidden: Sequence[int] = (), dropout: float = 0.5
) -> ResNet:
    """Build ResNet-101, of bottlenecks, for small images; see `cifar_resnet18`.

    Args:
        classes: how many classes.
        width: channels of the stem, and of the 3x3 convolutions in the first group of blocks, whose output has four
            times as many; the warning at `cifar_resnet18` applies here too.
        channels: of the images.
        hidden: widths of fully connected layers before the last, see `classifier`.
        dropout: rate of the dropout after each of them.
    """
    net = ResNet([3, 4, 23, 3], classes=classes, width=width, channels=channels, block=Bottleneck)
    return _with_classifier(net, classes, hidden=hidden, dropout=dropout)


def cifar_resnet8(classes: int, *, width: int = 16, channels: int = 3) -> ResNet:
    """Build ResNet-8, the smallest of He et al.'s (2016) family: one block per group; see `cifar_resnet32`.

    It has 78,000 parameters for ten classes and trains in seconds on a CPU.
    """
    return _narrow(8, classes=classes, width=width, channels=channels)


def cifar_resnet20(classes: int, *, width: int = 16, channels: int = 3) -> ResNet:
    """Build ResNet-20 of He et al. (2016), section 4.2, for small images; see `cifar_resnet32`."""
    return _narrow(20, classes=classes, width=width, channels=channels)


def cifar_resnet32(classes: int, *, width: int = 16, channels: int = 3) -> ResNet:
    """Build ResNet-32 of He et al. (2016), section 4.2: three groups of five blocks, 16, 32 and 64 channels wide.

    This is the network of ONE's and OKDDip's tables. Torchvision's class has four groups; the fourth is empty here
    and without parameters, so the branches part at `layer3`.

    Departs:
        Shortcuts that change the number of channels are 1x1 convolutions, as everywhere in torchvision and in those
        papers' code; He et al. pad with zeros.

    Args:
        classes: how many classes.
        width: channels of the stem and the first group of blocks; see the warning at `cifar_resnet18`.
        channels: of the images.

    Returns:
        A network from (N, channels, height, width) to logits (N, classes).
    """
    return _narrow(32, classes=classes, width=width, channels=channels)


def cifar_resnet110(classes: int, *, width: int = 16, channels: int = 3) -> ResNet:
    """Build ResNet-110 of He et al. (2016), section 4.2, with three groups of 18 blocks; see `cifar_resnet32`.

    Reading:
        6n + 2 layers of plain blocks, as He et al. print. The public code of ONE and OKDDip uses the same name for a
        network of three groups of 12 bottlenecks.
    """
    return _narrow(110, classes=classes, width=width, channels=channels)


def _narrow(layers: int, *, classes: int, width: int, channels: int) -> ResNet:
    """Build a network of 6n + 2 layers in three groups of n blocks."""
    return ResNet([(layers - 2) // 6] * 3, classes=classes, width=width, channels=channels)


def _with_classifier(net: ResNet, classes: int, *, hidden: Sequence[int], dropout: float) -> ResNet:
    """Return the network, after inserting the hidden fully connected layers, if any, before the last."""
    if hidden:
        net.fc = classifier(net.features, classes, hidden=hidden, dropout=dropout)
    return net
