"""Operations on a whole split: decoding it, and computing its pixel statistics."""

import math
from collections.abc import Mapping

import torch

from studygroup.data.raw import RawSplit, read_together
from studygroup.data.splits import MemorySplit, PictureSplit

_CHUNK = 1024  # rows decoded at once: bounds the memory that encoded images take


def in_memory(split: PictureSplit) -> MemorySplit:
    """Decode a whole split."""
    if isinstance(split, MemorySplit):
        return split
    images = torch.empty((len(split), *split.shape), dtype=torch.uint8)
    for rows in torch.split(torch.arange(len(split)), _CHUNK):
        images[rows] = split[rows][0]
    return MemorySplit(images, split.labels)


def all_in_memory(splits: Mapping[str, PictureSplit], *, most: int) -> dict[str, PictureSplit]:
    """Decode splits that together take at most `most` bytes; others stay encoded.

    Raw files are always read, each once: one of their rows cannot be read without reading all.
    """
    raw = {name: split for name, split in splits.items() if isinstance(split, RawSplit)}
    result: dict[str, PictureSplit] = dict(splits)
    for name, images in zip(raw, read_together(list(raw.values())), strict=True):
        result[name] = MemorySplit(images, raw[name].labels)
    small = sum(decoded_bytes(split) for split in splits.values()) <= most
    return {name: in_memory(split) if small else split for name, split in result.items()}


def decoded_bytes(split: PictureSplit) -> int:
    """Return how many bytes the decoded images of a split take."""
    return len(split) * math.prod(split.shape)


def pixel_statistics(
    split: PictureSplit, *, most: int = 50_000
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and population standard deviation of each channel.

    They are computed from counts of the 256 values, so the result does not depend on the order of rows or on
    where they are kept.

    Args:
        split: where the images come from.
        most: how many rows to use at most; of a longer split, evenly spaced ones.

    Returns:
        Means and deviations per channel, pixels counted as 0 to 1.
    """
    chosen = torch.linspace(0, len(split) - 1, min(len(split), most), dtype=torch.float64).round().long()
    counts = torch.zeros(split.shape[0], 256, dtype=torch.int64)
    for rows in torch.split(chosen, _CHUNK):
        images, _ = split[rows]
        for channel, count in enumerate(counts):
            count += torch.bincount(images[:, channel].flatten(), minlength=256)
    values = torch.arange(256, dtype=torch.float64) / 255
    share = counts.double() / counts.sum(1, keepdim=True)
    mean = share @ values
    variance = (share * (values - mean[:, None]) ** 2).sum(1)
    return tuple(mean.tolist()), tuple(variance.sqrt().tolist())
