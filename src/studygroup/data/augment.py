"""Augmentation per sample, computed on the whole batch and on the batch's device.

An augmentation is a function `augment(rows, *, generator)` from uint8 images to uint8 images, or from a mapping of
tokens and mask to such a mapping. It draws on the host from a CPU generator, so a step can be replayed and gives the
same rows on any device, without synchronising with the device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from studygroup._engine.selection import to_device
from studygroup.checks import check_flag, check_number, check_whole
from studygroup.data.splits import Rows


@runtime_checkable
class Augment(Protocol):
    """A random change of a batch of images, or of a batch of texts as a mapping."""

    def __call__(self, rows: Any, *, generator: torch.Generator) -> Any:
        """Return as many rows, changed at random; the generator, on the CPU, is the only source of randomness."""
        ...


def identity(rows: Rows, *, generator: torch.Generator) -> Rows:
    """Return the rows unchanged and draw nothing: no augmentation."""
    return rows


@dataclass(frozen=True, kw_only=True)
class PadCropFlip:
    """The usual CIFAR augmentation: pad with zeros, crop at random to the old size, mirror at random.

    The padding is black *before* normalisation, as with torchvision's RandomCrop in front of ToTensor.

    Attributes:
        padding: pixels added on every side; the crop moves by up to that much each way. 0 leaves only the
            mirroring.
        flip: whether each image is mirrored left to right with probability one half.

    Raises:
        ValueError: a padding that is no whole number from 0 on.
    """

    padding: int = 4
    flip: bool = True

    def __post_init__(self) -> None:
        check_whole("padding", self.padding, least=0)
        check_flag("flip", self.flip)

    def __call__(
        self, images: UInt8[Tensor, "batch channels height width"], *, generator: torch.Generator
    ) -> UInt8[Tensor, "batch channels height width"]:
        """Crop and mirror each image independently.

        Args:
            images: pixels on any device.
            generator: of the draws, on the CPU.

        Returns:
            New images of the same shape on the same device, contiguous.

        Raises:
            ValueError: the rows are texts, or the padding is as large as the pictures.
        """
        if not isinstance(images, Tensor):
            raise ValueError("PadCropFlip changes pictures and these rows are texts; leave `augment` out")
        channels, height, width = images.shape[1:]
        if self.padding >= min(height, width):
            raise ValueError(
                f"padding is {self.padding} and the pictures have {height} x {width} pixels; give less than a side, "
                "or crops would hold nothing of them"
            )
        draws = to_device(self._draw(len(images), generator), images.device)
        rows = draws[:, :1] + torch.arange(height, device=images.device)
        columns = torch.arange(width, device=images.device).expand(len(images), width)
        columns = draws[:, 1:2] + torch.where(draws[:, 2:] > 0, width - 1 - columns, columns)
        padded = F.pad(images, [self.padding] * 4).flatten(2)
        pixels = (rows[:, :, None] * (width + 2 * self.padding) + columns[:, None, :]).view(
            -1, 1, height * width
        )
        return padded.gather(2, pixels.expand(-1, channels, -1)).view_as(images)

    def _draw(self, count: int, generator: torch.Generator) -> Int64[Tensor, "count 3"]:
        """Draw each image's row offset and column offset (0 to twice the padding), and 1 to mirror it or 0."""
        offsets = torch.randint(2 * self.padding + 1, (count, 2), generator=generator)
        flips = torch.randint(2, (count, 1), generator=generator)
        return torch.cat([offsets, flips * self.flip], dim=1)


class Normalise(nn.Module):
    """Scaling of pixels to zero mean and unit deviation per channel: (pixel / 255 - mean) / std.

    A module, so that mean and deviation live on the device of the images (`.to(device)`) instead of being copied
    there at every step. They are not part of the state dict. What it computes is computed in single precision, and
    rounded to the precision of the module (`.to(dtype)`), as a network in that precision takes it.

    Args:
        mean: of each channel, pixels counted as 0 to 1.
        std: likewise, above 0.
        channels_last: whether the result has torch's `channels_last` memory format; else it keeps the images'
            own.

    Raises:
        ValueError: a deviation that is not above 0, numbers that are not finite, or not one of each for a channel.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], *, channels_last: bool = False) -> None:
        super().__init__()
        if len(mean) != len(std) or not all(check_number("a channel's std", each) > 0 for each in std):
            raise ValueError(
                f"std is {tuple(std)} and mean {tuple(mean)}; every channel needs one above 0, and a mean: "
                "is a channel constant?"
            )
        for each in mean:
            check_number("a channel's mean", each)
        self.memory_format = torch.channels_last if channels_last else torch.preserve_format
        centre = torch.tensor(mean, dtype=torch.float64).view(-1, 1, 1)
        spread = torch.tensor(std, dtype=torch.float64).view(-1, 1, 1)
        self._exact = (1 / (255 * spread)).float(), (-centre / spread).float()
        self.scale: Tensor
        self.shift: Tensor
        self.output: Tensor  # empty: its precision is that of the result
        for name, value in zip(("scale", "shift", "output"), (*self._exact, torch.empty(0)), strict=True):
            self.register_buffer(name, value.clone(), persistent=False)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "Normalise":
        """Move the module to a device or precision; scale and shift stay exact."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.scale, self.shift = (value.to(self.output.device) for value in self._exact)
        return self

    def forward(
        self, images: UInt8[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Normalise a batch on the module's device, in its precision."""
        # change the format while pixels are bytes: a quarter of the memory they take afterwards
        scaled = images.clone(memory_format=self.memory_format).float().mul_(self.scale).add_(self.shift)
        return scaled.to(self.output.dtype)
