"""Rows of pictures kept on the device, and their augmentation there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from reproduction.gpu.codec import pack, unpack
from studygroup.files import write_atomically

SPLITS = ("train", "holdout", "test")


@dataclass(frozen=True)
class Pictures:
    """All rows of a data set, in three parts.

    Attributes:
        images: uint8 (rows, 3, height, width) of each of `SPLITS`.
        labels: class indices of each.
        classes: number of classes.
        name: of the data set.
    """

    images: dict[str, Tensor]
    labels: dict[str, Tensor]
    classes: int
    name: str

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of each channel over the training rows, pixels counted as 0 to 255."""
        pixels = self.images["train"].double()
        return pixels.mean((0, 2, 3)).float(), pixels.std((0, 2, 3), correction=0).float()


def save(pictures: Pictures, path: Path) -> None:
    """Write a file that `load` reads with torch alone, whole or not at all.

    Raises:
        ValueError: pixels of more than 5 bits.
    """
    images = torch.cat([pictures.images[split] for split in SPLITS])
    content = {
        "name": pictures.name,
        "classes": pictures.classes,
        "rows": [len(pictures.labels[split]) for split in SPLITS],
        "labels": torch.cat([pictures.labels[split] for split in SPLITS]).to(torch.int16),
        "pixels": pack(images),
        "checksum": _checksum(images),
    }
    write_atomically(path, lambda temporary: torch.save(content, temporary))


def load(path: Path, device: torch.device) -> Pictures:
    """Read what `save` wrote, onto a device.

    Raises:
        FileNotFoundError: no such file.
        ValueError: its pixels are not those that were written.
    """
    content: dict[str, Any] = torch.load(path, weights_only=True)
    images = unpack(content["pixels"], device)
    if _checksum(images) != content["checksum"]:
        raise ValueError(f"{path} unpacks to other pixels than were packed; prepare it anew")
    labels = content["labels"].to(device, torch.int64)
    parts = zip(
        SPLITS, torch.split(images, content["rows"]), torch.split(labels, content["rows"]), strict=True
    )
    found = {split: (own, whose) for split, own, whose in parts}
    return Pictures(
        images={split: own for split, (own, _) in found.items()},
        labels={split: whose for split, (_, whose) in found.items()},
        classes=content["classes"],
        name=content["name"],
    )


def crop_and_flip(images: Tensor, *, generator: torch.Generator, padding: int = 4) -> Tensor:
    """Pad with black, crop at random to the original size, mirror pictures at random; all on the device.

    Pictures are uint8 (rows, channels, height, width); the padding is that of every side.
    """
    rows, channels, height, width = images.shape
    device = images.device
    shift = torch.randint(2 * padding + 1, (rows, 2), generator=generator, device=device)
    mirrored = torch.rand(rows, 1, generator=generator, device=device) < 0.5
    down = shift[:, :1] + torch.arange(height, device=device)
    across = torch.arange(width, device=device).expand(rows, width)
    across = shift[:, 1:] + torch.where(mirrored, width - 1 - across, across)
    number = torch.arange(rows, device=device)[:, None, None, None]
    channel = torch.arange(channels, device=device)[None, :, None, None]
    padded = F.pad(images, [padding] * 4)
    return padded[number, channel, down[:, None, :, None], across[:, None, None, :]]


def _checksum(images: Tensor) -> int:
    """Sum all pixels weighted by position, so that both changes and exchanges are detected."""
    weights = torch.arange(images[0].numel(), device=images.device) * 40_503 % 65_521 + 1
    sums = [(some.flatten(1).to(torch.int64) * weights).sum(1) for some in torch.split(images, 1024)]
    rows = torch.cat(sums)
    return int((rows % 65_521 * torch.arange(1, len(rows) + 1, device=rows.device)).sum())
