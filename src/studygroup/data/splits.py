"""Splits, which hold labels and give rows; here of images: decoded in memory, or encoded in a memory map."""

import copy
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Int32, Int64, UInt8
from torch import Tensor

from studygroup.data.images import ONE_SIZE, Shape, decode, resize

Rows = Tensor | Mapping[str, Tensor]
"""Rows as a split gives them: one tensor (images), or several of one length by name (tokens and their mask)."""


@runtime_checkable
class Labelled(Protocol):
    """Rows to choose among by their labels.

    Attributes:
        labels: class of each row.
    """

    labels: Int64[Tensor, "rows"]

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def take(self, indices: Int64[Tensor, "batch"]) -> "Labelled":
        """Return these rows alone; nothing is decoded."""
        ...


@runtime_checkable
class Split(Labelled, Protocol):
    """Rows with their labels, ready for batches."""

    @property
    def lengths(self) -> Int32[Tensor, "rows"] | None:
        """Number of tokens in each row if rows differ in size, else None."""
        ...

    def __getitem__(self, indices: Int64[Tensor, "batch"]) -> tuple[Rows, Int64[Tensor, "batch"]]:
        """Return these rows and their labels, in the order given."""
        ...

    def take(self, indices: Int64[Tensor, "batch"]) -> "Split":
        """Return a split of these rows alone; nothing is decoded."""
        ...


@runtime_checkable
class PictureSplit(Split, Protocol):
    """A split of images, all of one size.

    Attributes:
        shape: channels, height and width of every image.
    """

    shape: Shape

    def __getitem__(
        self, indices: Int64[Tensor, "batch"]
    ) -> tuple[UInt8[Tensor, "batch channels height width"], Int64[Tensor, "batch"]]:
        """Return the images and labels of these rows, in the order given."""
        ...


class MemorySplit:
    """A split whose images are one tensor in memory.

    Args:
        images: every row's pixels, 0 to 255.
        labels: every row's class.
    """

    lengths = None

    def __init__(
        self, images: UInt8[Tensor, "rows channels height width"], labels: Int64[Tensor, "rows"]
    ) -> None:
        self.images = images
        self.labels = labels
        channels, height, width = images.shape[1:]
        self.shape: Shape = (channels, height, width)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.labels)

    def __getitem__(
        self, indices: Int64[Tensor, "batch"]
    ) -> tuple[UInt8[Tensor, "batch channels height width"], Int64[Tensor, "batch"]]:
        """Return the images and labels of these rows, in the order given."""
        return self.images.index_select(0, indices), self.labels.index_select(0, indices)

    def take(self, indices: Int64[Tensor, "batch"]) -> "MemorySplit":
        """Return a split of these rows alone, copied."""
        return MemorySplit(*self[indices])


_Numbered = TypeVar("_Numbered", bound="ByNumber")


class ByNumber:
    """The rows of a split by their numbers in what holds them.

    Attributes:
        labels: class of each row of the split.
        rows: the number of each.
    """

    labels: Int64[Tensor, "rows"]
    rows: Int64[Tensor, "rows"]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def take(self: _Numbered, indices: Int64[Tensor, "batch"]) -> _Numbered:
        """Return a split of these rows alone; nothing is read or decoded."""
        taken = copy.copy(self)
        taken.labels, taken.rows = self.labels[indices], self.rows[indices]
        return taken


class ArrowSplit(ByNumber):
    """A split of encoded images in a Hugging Face data set (a memory map of Arrow files), decoded on access.

    Args:
        table: a `datasets.Dataset` with the encoded images.
        column: the image column, which must not decode by itself (`Image(decode=False)`).
        labels: class of each row of the split.
        shape: the shape that every image must have or, if `resized`, is scaled to.
        rows: the table's row for each row of the split.
        resized: whether images are scaled to the shape; otherwise another size is an error.
        name: what to call the split in an error message.
    """

    lengths = None

    def __init__(
        self,
        table: Any,
        *,
        column: str,
        labels: Int64[Tensor, "rows"],
        shape: Shape,
        rows: Int64[Tensor, "rows"],
        resized: bool,
        name: str,
    ) -> None:
        self.table, self.column, self.name = table, column, name
        self.labels, self.rows = labels, rows
        self.shape, self.resized = shape, resized

    def __getitem__(
        self, indices: Int64[Tensor, "batch"]
    ) -> tuple[UInt8[Tensor, "batch channels height width"], Int64[Tensor, "batch"]]:
        """Decode the images of these rows, in the order given.

        Raises:
            ValueError: an image is corrupt, missing, or of another size or mode than the others; names the
                row.
        """
        rows = self.rows[indices].tolist()
        images = torch.empty((len(rows), *self.shape), dtype=torch.uint8)
        if rows:
            for image, row, record in zip(images, rows, self.table[rows][self.column], strict=True):
                image.copy_(self._decode(row, record))
        return images, self.labels[indices]

    def _decode(self, row: int, record: Any) -> UInt8[Tensor, "channels height width"]:
        """Decode one image, or raise an error that names its row and file."""
        where = f"{self.name}, row {row}" + (f" ({record['path']})" if record and record["path"] else "")
        if record is None:
            raise ValueError(f"{where}: there is no image; remove the row")
        try:
            image = decode(record, channels=self.shape[0])
        except OSError as error:
            raise ValueError(f"{where}: the image cannot be read ({error}); repair or remove it") from error
        except ValueError as error:
            raise ValueError(f"{where}: the image does not fit: {error}") from error
        if not self.resized and image.shape[1:] != self.shape[1:]:
            raise ValueError(
                f"{where}: the image is {image.shape[1]} x {image.shape[2]} and others are {self.shape[1]} x "
                f"{self.shape[2]}; {ONE_SIZE}"
            )
        return resize(image, self.shape[1:])


def relabelled(split: Split, labels: Int64[Tensor, "rows"]) -> Split:
    """Return a split with these labels: the split itself if they are its own, else a view."""
    return split if torch.equal(labels, split.labels) else Relabelled(split, labels)


class Relabelled:
    """A view of a split with other labels; no row is copied or decoded for it.

    Args:
        split: where the rows come from.
        labels: class of each row.

    Raises:
        ValueError: the number of labels differs from the number of rows.
    """

    def __init__(self, split: Split, labels: Int64[Tensor, "rows"]) -> None:
        if len(labels) != len(split):
            raise ValueError(f"{len(labels)} labels for {len(split)} rows; give one for each")
        self.split = split
        self.labels = labels
        self.lengths = split.lengths

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.split)

    def __getitem__(self, indices: Int64[Tensor, "batch"]) -> tuple[Rows, Int64[Tensor, "batch"]]:
        """Return these rows with their other labels, in the order given."""
        return self.split[indices][0], self.labels[indices]

    def take(self, indices: Int64[Tensor, "batch"]) -> "Relabelled":
        """Return a view of these rows alone."""
        return Relabelled(self.split.take(indices), self.labels[indices])
