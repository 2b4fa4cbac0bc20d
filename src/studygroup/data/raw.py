"""A split whose pixels lie raw in a few large files, each read as a whole."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from studygroup.data.images import Shape, resize

_CHUNK = 1024  # rows brought to another size at once

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
    """Rows of pictures in raw files; choosing rows reads nothing.

    A call for rows reads each file that holds some of them once, one after another, into the tensor that is
    returned: beside that tensor, one file is in memory at a time. So a whole split comes in at one call, and rows
    one by one would be slow: `studygroup.data.load` always brings such a split into memory.

    Args:
        files: whose rows, one file after another, are counted.
        shape: channels, height and width of what is returned; pictures of other height and width are scaled to it.
        rows: number of each row of the split, counted through all files.
    """

    lengths = None

    def __init__(self, files: Sequence[PixelFile], *, shape: Shape, rows: Int64[Tensor, "rows"]) -> None:
        self.files, self.shape, self.rows = tuple(files), shape, rows
        self.labels = torch.cat([file.labels for file in self.files])[rows]

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.rows)

    def __getitem__(
        self, indices: Int64[Tensor, "batch"]
    ) -> tuple[UInt8[Tensor, "batch channels height width"], Int64[Tensor, "batch"]]:
        """Reads the images of these rows, in their order.

        Raises:
            ValueError: a file is damaged.
        """
        (images,) = read_together([self.take(indices)])
        return images, self.labels[indices]

    def take(self, indices: Int64[Tensor, "batch"]) -> "RawSplit":
        """A split of these rows alone; nothing is read."""
        return RawSplit(self.files, shape=self.shape, rows=self.rows[indices])

    def places(self) -> Iterator[tuple[PixelFile, Int64[Tensor, "some"], Int64[Tensor, "some"]]]:
        """Each file that holds rows of the split, their places in the split, and their numbers in the file."""
        first = 0
        for file in self.files:
            end = first + len(file.labels)
            here = ((self.rows >= first) & (self.rows < end)).nonzero().flatten()
            if len(here):
                yield file, here, self.rows[here] - first
            first = end


def read_together(splits: Sequence[RawSplit]) -> list[UInt8[Tensor, "_rows channels height width"]]:
    """The images of whole splits; a file that several of them share is read once.

    Args:
        splits: such as training and hold-out rows of the same files.

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
    """Reads one file for all who want some of it, and lets it go."""
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
    """Copies rows of a file to their places, scaled to the size there."""
    for some, where in zip(torch.split(rows, _CHUNK), torch.split(places, _CHUNK), strict=True):
        images[where] = resize(torch.from_numpy(pixels[some.numpy()]), images.shape[2:])
