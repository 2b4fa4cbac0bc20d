"""VGG-16 for small images, as an instance of torchvision's class."""

from collections.abc import Sequence

import torch
from torch import nn

from studygroup.extras import missing
from studygroup.models.head import classifier

_DEPTHS = (2, 2, 3, 3, 3)  # convolutions in each of the five groups, Simonyan & Zisserman (2015), table 1, D


def cifar_vgg16(
    classes: int,
    *,
    width: int = 64,
    channels: int = 3,
    hidden: Sequence[int] = (512, 512),
    dropout: float = 0.5,
) -> nn.Module:
    """Build VGG-16 with batch norm: 13 convolutions and three fully connected layers (that of the intra-model paper).

    Five poolings reduce 32 x 32 pixels to one; what remains of larger images (3 x 3 of 96 x 96) is averaged. The
    fully connected layers are therefore as wide as in `classifier`, and not 4096.

    Departs:
        Linear layers are initialised as by `nn.Linear`, not with torchvision's deviation of 0.01, which is made for
        4096 inputs: with it, the logits of three layers of 512 are 17 times smaller at the start.

    Args:
        classes: how many classes.
        width: filters of the first group; the others have 2, 4, 8 and 8 times as many. 128 is the paper's
            baseline(2x), which multiplies the convolutions' filters only.
        channels: of the images.
        hidden: widths of the fully connected layers before the last; they do not follow `width`.
        dropout: rate of the dropout after each of them.

    Returns:
        A network from (N, channels, height, width), 32 pixels or more each way, to logits (N, classes), with
        torchvision's parameter names.

    Raises:
        ValueError: a size below 1, or torchvision is missing.
    """
    if min(width, channels) < 1:
        raise ValueError(f"width and channels are {width} and {channels}; give at least 1 for each")
    try:
        from torchvision.models.vgg import VGG, make_layers
    except ImportError as error:
        raise missing("cifar_vgg16", "train", error) from error
    filters = [width * min(2**group, 8) for group in range(len(_DEPTHS))]
    plan = [entry for depth, size in zip(_DEPTHS, filters, strict=True) for entry in (*[size] * depth, "M")]
    # torchvision's classifier of 400 MB is replaced: on meta it is neither allocated nor initialised
    with torch.device("meta"):
        net = VGG(nn.Sequential(), init_weights=False)
    net.features = make_layers(plan, batch_norm=True)
    net.features[0] = nn.Conv2d(channels, width, kernel_size=3, padding=1)
    net.avgpool = nn.AdaptiveAvgPool2d(1)
    net.classifier = classifier(filters[-1], classes, hidden=hidden, dropout=dropout)
    for layer in net.features:
        if isinstance(layer, nn.Conv2d):  # as torchvision
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    network: nn.Module = net
    return network
