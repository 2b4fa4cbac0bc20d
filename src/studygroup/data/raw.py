"""Whole splits: those of raw pixels in a few large files, decoding, and pixel statistics."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from studygroup.data.images import Shape, resize
from studygroup.data.splits import ByNumber, MemorySplit, PictureSplit

_CHUNK = 1024  # rows decoded or scaled at once: bounds the memory that they take


@dataclass(frozen=True, eq=False)
class PixelFile:
    """One file of raw pictures.

    Attributes:
        labels: class of each picture.
        read: gives all pictures, uint8 (rows, channels, height, width), as an array or a memory map.
    """

    labels: Int64[Tensor, "rows"]
    read: Callable[[], UInt8[np.ndarray, "rows channels height width"]]


class RawSplit(ByNumber):
    """Rows of pictures in raw files; selecting rows reads nothing.

    Indexing reads each file that holds some of the rows once, one after another, into the tensor that is
    returned: apart from that, one file is in memory at a time. So a whole split is read in one call, whereas rows
    one by one would be slow: `studygroup.data.load` always brings such a split into memory.

    Args:
        files: the files; their rows are numbered through, one file after another.
        shape: channels, height and width of the result; pictures of other height and width are scaled to it.
        rows: number of each row of the split, in the numbering of all files.
    """

    lengths = None

    def __init__(self, files: Sequence[PixelFile], *, shape: Shape, rows: Int64[Tensor, "rows"]) -> None:
        self.files, self.shape, self.rows = tuple(files), shape, rows
        self.labels = torch.cat([file.labels for file in self.files])[rows]

    def __getitem__(
        self, indices: Int64[Tensor, "batch"]
    ) -> tuple[UInt8[Tensor, "batch channels height width"], Int64[Tensor, "batch"]]:
        """Read the images of these rows, in the order given.

        Raises:
            ValueError: a file is damaged.
        """
        (images,) = read_together([self.take(indices)])
        return images, self.labels[indices]

    def places(self) -> Iterator[tuple[PixelFile, Int64[Tensor, "some"], Int64[Tensor, "some"]]]:
        """Yield each file that holds rows of the split, their places in the split, and their numbers in the file."""
        first = 0
        for file in self.files:
            end = first + len(file.labels)
            here = ((self.rows >= first) & (self.rows < end)).nonzero().flatten()
            if len(here):
                yield file, here, self.rows[here] - first
            first = end


def read_together(splits: Sequence[RawSplit]) -> list[UInt8[Tensor, "_rows channels height width"]]:
    """Return the images of whole splits; a file that several of them share is read once.

    Raises:
        ValueError: a file is damaged.
    """
    images = [torch.empty((len(split), *split.shape), dtype=torch.uint8) for split in splits]
    wanted: defaultdict[PixelFile, list[tuple[Tensor, Tensor, Tensor]]] = defaultdict(list)
    for split, target in zip(splits, images, strict=True):
        for file, places, rows in split.places():
            wanted[file].append((target, places, rows))
    for file, copies in wanted.items():
        pixels = file.read()
        for target, places, rows in copies:
            for where, some in zip(torch.split(places, _CHUNK), torch.split(rows, _CHUNK), strict=True):
                target[where] = resize(torch.from_numpy(pixels[some.numpy()]), target.shape[2:])
        del pixels  # before the next file is read
    return images


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
    where they are kept. Pixels count as 0 to 1; of more than `most` rows, evenly spaced ones are used.
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
