"""A network by its name."""

import difflib
import functools
from collections.abc import Callable
from typing import Any

import timm
import torchvision.models
from torch import nn

from studygroup.models.cifar import (
    cifar_resnet18,
    cifar_resnet20,
    cifar_resnet32,
    cifar_resnet34,
    cifar_resnet110,
)
from studygroup.models.vgg import cifar_vgg16

_OURS: dict[str, Callable[..., nn.Module]] = {
    "cifar_resnet18": cifar_resnet18,
    "cifar_resnet20": cifar_resnet20,
    "cifar_resnet32": cifar_resnet32,
    "cifar_resnet34": cifar_resnet34,
    "cifar_resnet110": cifar_resnet110,
    "cifar_vgg16": cifar_vgg16,
}


def build(name: str, *, classes: int, channels: int = 3, **options: Any) -> nn.Module:
    """Builds a network with fresh weights; nothing is downloaded.

    Args:
        name: `cifar_resnet18`, `cifar_resnet34`, the narrow `cifar_resnet20`, `cifar_resnet32` and
            `cifar_resnet110`, `cifar_vgg16`, `torchvision/NAME` or `timm/NAME`. A bare name is looked up in that
            order.
        classes: how many classes the head tells apart.
        channels: of the images; torchvision's networks take 3 only.
        **options: handed to the library, such as `width`, `img_size` or `drop_rate`; `pretrained=True` lets
            timm download its weights.

    Returns:
        The library's own network.

    Raises:
        ValueError: an unknown name, told with near matches, or a number of channels that the network cannot
            take.
    """
    library, _, bare = name.rpartition("/")
    if not library and bare in _OURS:
        return _OURS[bare](classes, channels=channels, **options)
    if library in ("", "torchvision") and bare in _torchvision_names():
        if channels != 3:
            raise ValueError(
                f"torchvision's {bare} takes images of 3 channels, not {channels}; try 'timm/{bare}'"
            )
        network: nn.Module = torchvision.models.get_model(bare, weights=None, num_classes=classes, **options)
        return network
    if library in ("", "timm") and timm.is_model(bare):
        created: nn.Module = timm.create_model(bare, num_classes=classes, in_chans=channels, **options)
        return created
    near = difflib.get_close_matches(name, _all_names(), n=5) or [*_OURS, "timm/vit_tiny_patch16_224"]
    raise ValueError(f"there is no network {name!r}; did you mean {', '.join(near)}?")


@functools.cache
def _torchvision_names() -> frozenset[str]:
    """Classifiers of torchvision; its detectors and the like live in sub-modules."""
    return frozenset(torchvision.models.list_models(module=torchvision.models))


def _all_names() -> list[str]:
    """Every name that `build` knows, bare and with its library."""
    torchvisions, timms = sorted(_torchvision_names()), timm.list_models()
    prefixed = [f"torchvision/{name}" for name in torchvisions] + [f"timm/{name}" for name in timms]
    return [*_OURS, *torchvisions, *timms, *prefixed]
