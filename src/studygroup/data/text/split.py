"""Labelled texts in a memory map, read a block at a time."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow
import torch
from jaxtyping import Int64
from torch import Tensor

from studygroup.data.splits import ByNumber

_BLOCK = 1024  # rows read at once: bounds the memory that texts take
_SPARSE = 4  # rows further apart than this, on average, are fetched one by one


class TextSplit(ByNumber):
    """Texts in a Hugging Face data set (a memory map of Arrow files), with their labels.

    It cannot make batches until its texts are tokenised, see `encoded`.

    Args:
        table: a `datasets.Dataset` with the texts.
        columns: the columns that make up a text, in this order, joined by one space.
        labels: class of each row of the split.
        rows: the table's row for each row of the split, in any order.
        name: what to call the split in an error message.
        escaped: whether a backslash and an n in the table stand for a newline.
    """

    # reading: Zhang et al. and Conneau et al. do not say how a title and a text are combined. Zhang's Crepe joins the
    # columns with a space, the last one first, and then reads the result backwards: the network sees the title first,
    # as it does here, where nothing is reversed.
    # departs: Crepe strips white space at both ends of a column; CGL does nothing to texts but lower-casing.

    def __init__(
        self,
        table: Any,
        *,
        columns: tuple[str, ...],
        labels: Int64[Tensor, "rows"],
        rows: Int64[Tensor, "rows"],
        name: str,
        escaped: bool = False,
    ) -> None:
        self.table, self.columns, self.name = table, columns, name
        self.labels, self.rows, self.escaped = labels, rows, escaped

    def texts(self) -> Iterable[str]:
        """Return the texts in the order of the rows, for any number of passes, never all of them in memory."""
        return _Texts(self)

    def blocks(self) -> Iterator[list[str]]:
        """Yield the texts in lists of 1024, the last one shorter.

        Raises:
            ValueError: a text is missing; names the row.
        """
        view = self.table.select_columns(list(self.columns)).with_format("arrow")
        for rows in torch.split(self.rows, _BLOCK):
            if len(rows):
                yield self._join(rows, [gathered(view, column, rows) for column in self.columns])

    def _join(self, rows: Int64[Tensor, "block"], parts: list[pyarrow.Array]) -> list[str]:
        """Join the columns of each row to one text."""
        for column, part in zip(self.columns, parts, strict=True):
            check_texts(part, rows, column=column, where=self.name)
        listed = [self._listed(rows, *named) for named in zip(self.columns, parts, strict=True)]
        texts = list(map(" ".join, zip(*listed, strict=True)))
        return [text.replace("\\n", "\n") for text in texts] if self.escaped else texts

    def _listed(self, rows: Int64[Tensor, "block"], column: str, part: pyarrow.Array) -> list[str]:
        """Return the texts of a column, which Arrow does not check."""
        try:
            listed: list[str] = part.to_pylist()
            return listed
        except UnicodeDecodeError:
            for row, value in zip(rows.tolist(), part, strict=True):
                try:
                    value.as_py()
                except UnicodeDecodeError as error:
                    raise ValueError(
                        f"{self.name}, row {row}: the text in column {column!r} is no UTF-8 ({error.reason} at byte "
                        f"{error.start}); store it as UTF-8, or remove the row"
                    ) from error
            raise


class _Texts:
    """The texts of a split, which can be iterated over repeatedly."""

    def __init__(self, split: TextSplit) -> None:
        self.split = split

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.split)

    def __iter__(self) -> Iterator[str]:
        """Read the texts block by block."""
        for block in self.split.blocks():
            yield from block


def gathered(view: Any, column: str, rows: Int64[Tensor, "rows"]) -> pyarrow.Array:
    """Return the values of a column in some rows, at least one, in the order given.

    The view is in the format `arrow`; other columns in it cost time.
    """
    first, end = int(rows.min()), int(rows.max()) + 1
    if end - first > _SPARSE * len(rows):
        return view[rows.tolist()][column].combine_chunks()
    # one slice and a `take` in it: 15 times as fast as a look-up for each row, and few rows are read needlessly
    return view[first:end][column].combine_chunks().take(pyarrow.array((rows - first).numpy()))


def check_texts(
    values: pyarrow.Array | pyarrow.ChunkedArray, rows: Int64[Tensor, "rows"], *, column: str, where: str
) -> None:
    """Refuse missing texts; empty ones are allowed.

    Raises:
        ValueError: a text is missing; names the row.
    """
    if values.null_count:
        row = int(rows[int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])])
        raise ValueError(
            f"{where}, row {row}: there is no text in column {column!r} ({values.null_count} such rows); remove the "
            "row, or store an empty text"
        )
