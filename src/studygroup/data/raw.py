"""A split whose raw pixels are in a few large files, each read as a whole."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from studygroup.data.images import Shape, resize

_CHUNK = 1024  # rows scaled at once

Pixels = UInt8[np.ndarray, "rows channels height width"]


@dataclass(frozen=True, eq=False)
class PixelFile:
    """One file of raw pictures.

    Attributes:
        labels: class of each picture.
        read: gives all pictures, uint8 (rows, channels, height, width), as an array or a memory map.
    """

    labels: Int64[Tensor, "rows"]
    read: Callable[[], Pixels]


class RawSplit:
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

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __getitem__(
        self, indices: Int64[Tensor, "batch"]
    ) -> tuple[UInt8[Tensor, "batch channels height width"], Int64[Tensor, "batch"]]:
        """Read the images of these rows, in the order given.

        Raises:
            ValueError: a file is damaged.
        """
        (images,) = read_together([self.take(indices)])
        return images, self.labels[indices]

    def take(self, indices: Int64[Tensor, "batch"]) -> "RawSplit":
        """Return a split of these rows alone; nothing is read."""
        return RawSplit(self.files, shape=self.shape, rows=self.rows[indices])

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
    wanted: dict[PixelFile, list[Callable[[Pixels], None]]] = {}
    for split, target in zip(splits, images, strict=True):
        for file, places, rows in split.places():
            copy = functools.partial(_copy, rows=rows, images=target, places=places)
            wanted.setdefault(file, []).append(copy)
    for file, copies in wanted.items():
        _serve(file, copies)
    return images


def _serve(file: PixelFile, copies: Sequence[Callable[[Pixels], None]]) -> None:
    """Read one file, copy its rows to every tensor that needs some of them, and release it."""
    pixels = file.read()
    for copy in copies:
        copy(pixels)


def _copy(
    pixels: Pixels,
    *,
    rows: Int64[Tensor, "some"],
    images: UInt8[Tensor, "batch channels new_height new_width"],
    places: Int64[Tensor, "some"],
) -> None:
    """Copy rows of a file to their places, scaled to the size there."""
    for some, where in zip(torch.split(rows, _CHUNK), torch.split(places, _CHUNK), strict=True):
        images[where] = resize(torch.from_numpy(pixels[some.numpy()]), images.shape[2:])
