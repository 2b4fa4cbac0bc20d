"""The networks of the checks and of the measurements, and the layers that methods use."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from studygroup.models.cifar import cifar_resnet18
from studygroup.models.head import classifier
from studygroup.models.resnet import ResNet
from studygroup.routes import Layer


@dataclass(frozen=True)
class Network:
    """A network for pictures, and its layers.

    Attributes:
        build: returns a new network.
        dropping: returns a new network with dropout in its classifier, for dropout views.
        example: two pictures.
        branch: layers of a branch, classifier included.
        tree: the module that each of four students uses, layer by layer.
        inner: layers with an auxiliary head.
        classes: number of classes.
    """

    build: Callable[[], nn.Module]
    dropping: Callable[[], nn.Module]
    example: Tensor
    branch: Sequence[str]
    tree: Mapping[Layer, Sequence[int]]
    inner: Sequence[str]
    classes: int


class HostDropout(nn.Dropout):
    """Dropout with masks drawn on the host, so that a seed gives the same masks on every device."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Drop and scale in training."""
        if not self.training:
            return hidden
        kept = torch.rand(hidden.shape) >= self.p
        return hidden * kept.to(hidden.device, hidden.dtype) / (1 - self.p)


def small(dropout: type[nn.Dropout] = HostDropout) -> Network:
    """Three groups of one block, 16 to 64 channels wide, on pictures of 16 x 16; ten classes.

    Its activations are smooth: near the kink of a rectifier rounding decides whether a gradient passes.

    Args:
        dropout: of the classifier of `dropping`.
    """
    groups: dict[Layer, list[int]] = {"layer2": [0, 0, 1, 1], "layer3": [0, 1, 2, 3], "fc": [0, 1, 2, 3]}
    return Network(
        build=_small,
        dropping=partial(_small_dropping, dropout),
        example=torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)),
        branch=("layer3", "fc"),
        tree=groups,
        inner=("layer1", "layer2"),
        classes=10,
    )


def full(*, classes: int, width: int, pixels: int) -> Network:
    """Return a ResNet-18 of some width, for square pictures of some size."""
    groups: dict[Layer, list[int]] = {"layer3": [0, 0, 1, 1], "layer4": [0, 1, 2, 3], "fc": [0, 1, 2, 3]}
    return Network(
        build=partial(cifar_resnet18, classes, width=width),
        dropping=partial(cifar_resnet18, classes, width=width, hidden=(512, 512)),
        example=torch.randn(2, 3, pixels, pixels, generator=torch.Generator().manual_seed(0)),
        branch=("layer4", "fc"),
        tree=groups,
        inner=("layer1", "layer2", "layer3"),
        classes=classes,
    )


def _small() -> nn.Module:
    return _smooth(ResNet([1, 1, 1], classes=10, width=16))


def _small_dropping(dropout: type[nn.Dropout]) -> nn.Module:
    net = ResNet([1, 1, 1], classes=10, width=16)
    head = classifier(net.features, 10, hidden=(16, 16))
    assert isinstance(head, nn.Sequential)
    net.fc = nn.Sequential(*(dropout(0.5) if isinstance(layer, nn.Dropout) else layer for layer in head))
    return _smooth(net)


def _smooth(net: nn.Module) -> nn.Module:
    """Put a smooth activation in the place of every rectifier."""
    for module in [*net.modules()]:
        for name, part in module.named_children():
            if isinstance(part, nn.ReLU):
                setattr(module, name, nn.Mish())
    return net
