"""Residual networks for small images, of torch alone; parameters are named as in torchvision."""

from collections.abc import Sequence
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions in parallel with a shortcut (He et al. 2016, figure 5 left).

    Args:
        inputs: channels of the input.
        planes: channels of both convolutions.
        stride: of the first convolution and of the shortcut.
    """

    expansion: ClassVar[int] = 1

    def __init__(self, inputs: int, planes: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = _shortcut(inputs, planes * self.expansion, stride)

    def forward(self, x: Float[Tensor, "_ _ _ _"]) -> Float[Tensor, "_ _ _ _"]:
        """Return the activated sum of the convolutions and the shortcut."""
        hidden = self.relu(self.bn1(self.conv1(x)))
        hidden = self.bn2(self.conv2(hidden))
        activated: Tensor = self.relu(hidden + (x if self.downsample is None else self.downsample(x)))
        return activated


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 ones, in parallel with a shortcut (He et al. 2016, figure 5 right).

    The stride is that of the 3x3 convolution, as in torchvision.

    Args:
        inputs: channels of the input.
        planes: channels of the 3x3 convolution; the output has four times as many.
        stride: of the 3x3 convolution and of the shortcut.
    """

    expansion: ClassVar[int] = 4

    def __init__(self, inputs: int, planes: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, planes * self.expansion, stride)

    def forward(self, x: Float[Tensor, "_ _ _ _"]) -> Float[Tensor, "_ _ _ _"]:
        """Return the activated sum of the convolutions and the shortcut."""
        hidden = self.relu(self.bn1(self.conv1(x)))
        hidden = self.relu(self.bn2(self.conv2(hidden)))
        hidden = self.bn3(self.conv3(hidden))
        activated: Tensor = self.relu(hidden + (x if self.downsample is None else self.downsample(x)))
        return activated


class ResNet(nn.Module):
    """A stem of one 3x3 convolution without pooling, groups of residual blocks, and one linear classifier.

    Names, order and initialisation of the parameters are torchvision's: a state dict fits `torchvision.models.ResNet`
    with such a stem. Torchvision's class has four groups; if there are fewer, the others are empty.

    Args:
        depths: blocks of each group, four groups at most; each group after the first halves the map and has twice the
            channels.
        classes: how many classes.
        width: channels of the stem and of the first group.
        channels: of the images.
        block: `BasicBlock` or `Bottleneck`.

    Attributes:
        features: input features of the classifier.

    Raises:
        ValueError: a size below 1.
    """

    def __init__(
        self,
        depths: Sequence[int],
        *,
        classes: int,
        width: int,
        channels: int = 3,
        block: type[BasicBlock | Bottleneck] = BasicBlock,
    ) -> None:
        super().__init__()
        if min(classes, width, channels) < 1:
            raise ValueError(
                f"classes, width and channels are {classes}, {width} and {channels}; give at least 1 for each"
            )
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity()
        self.features = width
        padded = [*depths, 0, 0, 0, 0][:4]
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            self._group(block, width * 2**group, depth, stride=1 if group == 0 else 2)
            for group, depth in enumerate(padded)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc: nn.Module = nn.Linear(self.features, classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Float[Tensor, "_ channels height across"]) -> Float[Tensor, "_ classes"]:
        """Return the logits: more rows than the input has if students of a group part on the way."""
        hidden = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for group in (self.layer1, self.layer2, self.layer3, self.layer4):
            hidden = group(hidden)
        logits: Tensor = self.fc(self.avgpool(hidden).flatten(1))
        return logits

    def _group(
        self, block: type[BasicBlock | Bottleneck], planes: int, depth: int, *, stride: int
    ) -> nn.Sequential:
        """Build one group of blocks and record the channels of its output."""
        blocks = []
        for number in range(depth):
            blocks.append(block(self.features, planes, stride=1 if number else stride))
            self.features = planes * block.expansion
        return nn.Sequential(*blocks)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """Build the projection of a shortcut whose shapes differ; return `None` if they are equal."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))
