"""Transforms of torchvision as an augmentation whose draws a seed decides."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from studygroup.naming import did_you_mean

_LABELS_TOO = ("MixUp", "CutMix")


@dataclass(frozen=True, kw_only=True)
class TorchVision:
    """Transforms of `torchvision.transforms.v2`, one after another, each picture by itself.

    Attributes:
        transforms: names, such as `RandAugment`; or mappings of one name to its arguments, such as
            `{RandomErasing: {p: 0.25}}`. They see and return bytes, before pixels are normalised.

    Raises:
        ValueError: torchvision has no such transform, it refuses its arguments, or it mixes labels, too.
    """

    transforms: Sequence[str | Mapping[str, Any]]

    def __post_init__(self) -> None:
        if isinstance(self.transforms, str) or not self.transforms:
            raise ValueError(
                f"transforms is {self.transforms!r}; give a list of names in torchvision.transforms.v2, such as "
                "[RandAugment]"
            )
        assert self._built

    @cached_property
    def _built(self) -> list[nn.Module]:
        return [_transform(one) for one in self.transforms]

    def __getstate__(self) -> dict[str, Any]:
        return {"transforms": self.transforms}

    def __call__(
        self, images: UInt8[Tensor, "batch channels height width"], *, generator: torch.Generator
    ) -> UInt8[Tensor, "batch channels height width"]:
        """Change each picture independently.

        Args:
            images: pixels on any device.
            generator: of the draws, on the CPU.

        Raises:
            ValueError: the rows are texts, or a transform returns pictures of another size or type.
        """
        if not isinstance(images, Tensor):
            raise ValueError("TorchVision changes pictures and these rows are texts; leave `augment` out")
        seed = int(torch.randint(2**62, (), generator=generator))
        devices = [images.device] if images.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            changed = [self._one(image) for image in images]
        return torch.stack(changed)

    def _one(self, image: Tensor) -> Tensor:
        changed = image
        for transform in self._built:
            changed = transform(changed)
            if changed.shape != image.shape or changed.dtype != image.dtype:
                raise ValueError(
                    f"{type(transform).__name__} makes {tuple(changed.shape)} of {changed.dtype} out of pictures of "
                    f"{tuple(image.shape)}, {image.dtype}; an augmentation keeps size and type (image_size "
                    "scales, and pixels are normalised afterwards)"
                )
        return changed


def _transform(given: str | Mapping[str, Any]) -> nn.Module:
    """Build a transform from its name, or from a mapping of its name to its arguments."""
    from torchvision.transforms import v2

    if not isinstance(given, str) and (not isinstance(given, Mapping) or len(given) != 1):
        raise ValueError(
            f"a transform is {given!r:.80}; give a name, or a mapping of one name to its arguments, such as "
            "{RandomErasing: {p: 0.25}}"
        )
    name, arguments = (given, {}) if isinstance(given, str) else next(iter(given.items()))
    if name in _LABELS_TOO:
        raise ValueError(f"{name} changes labels, too; give it as `mix`: --mix {name}")
    there = [
        key
        for key, some in vars(v2).items()
        if inspect.isclass(some) and issubclass(some, v2.Transform) and some is not v2.Transform
    ]
    if name not in there:
        raise ValueError(f"torchvision.transforms.v2 has no transform {name!r}{did_you_mean(name, there)}")
    try:
        made: nn.Module = getattr(v2, name)(**(arguments or {}))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} refuses its arguments {arguments!r:.80}: {error}") from error
    return made
