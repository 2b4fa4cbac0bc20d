"""Texts as rows of token ids: tokenised once, kept in a file, served in batches."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute
import torch
from jaxtyping import Int32, Int64
from numpy.typing import NDArray
from torch import Tensor

from studygroup.data.splits import ByNumber
from studygroup.data.text.cache import kept_table
from studygroup.data.text.encoder import Encoder
from studygroup.data.text.split import TextSplit, gathered

_VERSION = 1  # of the files: raise it when their content changes
_COLUMN = "input_ids"


class TokenSplit(ByNumber):
    """Token ids in a memory map of Arrow, padded to one length when a batch is taken.

    Args:
        table: a `datasets.Dataset` with the lists of ids in the column `input_ids`.
        labels: class of each row of the split.
        tokens: how many ids each row of the split has, from 1 on.
        rows: the table's row for each row of the split, in any order.
        padding: the id that pads rows.
        width: the length that every batch is padded to; 0 stands for its longest row.

    Attributes:
        lengths: `tokens` where batches differ in width, else None.
    """

    def __init__(
        self,
        table: Any,
        *,
        labels: Int64[Tensor, "rows"],
        tokens: Int32[Tensor, "rows"],
        rows: Int64[Tensor, "rows"],
        padding: int,
        width: int = 0,
    ) -> None:
        self.table = table.with_format("arrow")
        self.labels, self.tokens, self.rows = labels, tokens, rows
        self.padding, self.width = padding, width
        self.lengths = None if width else tokens

    def __getitem__(
        self, indices: Int64[Tensor, "batch"]
    ) -> tuple[dict[str, Int64[Tensor, "batch length"]], Int64[Tensor, "batch"]]:
        """Return ids and mask of these rows (1 = token, 0 = padding), and their labels, in the order given."""
        if not len(indices):
            values = np.empty(0, dtype=np.int64)
        else:
            values = gathered(self.table, _COLUMN, self.rows[indices]).flatten().to_numpy()
        rows = _fill(values, self.tokens[indices], padding=self.padding, width=self.width)
        return rows, self.labels[indices]

    def take(self, indices: Int64[Tensor, "batch"]) -> "TokenSplit":
        """Return a split of these rows alone; nothing is read."""
        taken = super().take(indices)
        taken.tokens = self.tokens[indices]
        taken.lengths = None if self.width else taken.tokens
        return taken


def filled(rows: Sequence[Sequence[int]], encoder: Encoder) -> dict[str, Int64[Tensor, "batch length"]]:
    """Build a batch from the rows of an encoder, padded as by `TokenSplit`.

    Args:
        rows: the ids of each text.
        encoder: the one they are from.

    Returns:
        `input_ids`, and `attention_mask`, 1 for a token and 0 for padding.
    """
    values = np.array([number for row in rows for number in row], dtype=np.int64)
    tokens = torch.tensor([len(row) for row in rows], dtype=torch.int32)
    return _fill(values, tokens, padding=encoder.padding, width=_width(encoder))


def _width(encoder: Encoder) -> int:
    """Return the length that every batch is padded to; 0 stands for its longest row."""
    return encoder.length if encoder.full else 0


def _fill(
    values: NDArray[Any], tokens: Int32[Tensor, "batch"], *, padding: int, width: int
) -> dict[str, Int64[Tensor, "batch length"]]:
    """Arrange ids that follow one another row by row as a padded table, and return it with its mask."""
    # by NumPy: torch takes four times as long to write through a mask
    width = max(width, int(tokens.max()) if len(tokens) else 0)
    mask = np.arange(width) < tokens.numpy()[:, None]
    ids = np.full(mask.shape, padding, dtype=np.int64)
    ids[mask] = values
    return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask.astype(np.int64))}


def encoded(split: TextSplit, encoder: Encoder) -> TokenSplit:
    """Tokenise every text once, into a file of the cache folder.

    The file is found again by the content of the texts and the tokenizer, whatever their names: if both are
    unchanged, it is read instead of made. Memory grows by only 12 bytes per row: its number and its length.

    The key covers exactly the rows of `split`: if one encoder serves several draws, take parts of the result instead
    of encoding each part separately.

    Args:
        split: the texts.
        encoder: gives the ids of a text.

    Raises:
        ValueError: a text is missing, or the encoder gives a row no ids or more than its `length`.
    """
    ids = _smallest(encoder.vocabulary)
    key = hashlib.sha256(f"{_VERSION} {ids} {encoder.fingerprint} {_content(split)}".encode()).hexdigest()
    schema = pyarrow.schema({_COLUMN: pyarrow.list_(ids)})
    table = kept_table(
        f"tokens/{key}.arrow",
        schema,
        lambda: _batches(split, encoder, schema),
        what=f"tokenising {split.name}",
    )
    tokens = pyarrow.compute.list_value_length(table.data.column(_COLUMN)).to_numpy()
    return TokenSplit(
        table,
        labels=split.labels,
        tokens=torch.from_numpy(tokens.astype(np.int32)),
        rows=torch.arange(len(split)),
        padding=encoder.padding,
        width=_width(encoder),
    )


def _smallest(vocabulary: int) -> pyarrow.DataType:
    """Return the smallest type that holds the ids: characters take a quarter of the disk space of int32."""
    if vocabulary <= 2**8:
        return pyarrow.uint8()
    return pyarrow.uint16() if vocabulary <= 2**16 else pyarrow.int32()


def _content(split: TextSplit) -> str:
    """Return a sha256 sum over all texts, in order."""
    found = hashlib.sha256()
    for block in split.blocks():
        texts = [text.encode() for text in block]
        found.update(np.array([len(text) for text in texts], dtype="<i8").tobytes())
        found.update(b"".join(texts))
    return found.hexdigest()


def _batches(split: TextSplit, encoder: Encoder, schema: pyarrow.Schema) -> Iterator[pyarrow.RecordBatch]:
    """Yield the ids of all texts, block by block."""
    start = 0
    for block in split.blocks():
        rows = encoder(block)
        _check_rows(rows, texts=len(block), start=start, split=split, length=encoder.length)
        yield pyarrow.record_batch([pyarrow.array(rows, schema.field(0).type)], schema=schema)
        start += len(block)


def _check_rows(rows: list[list[int]], *, texts: int, start: int, split: TextSplit, length: int) -> None:
    """Refuse the rows of an encoder unless every text has 1 to `length` ids."""
    if len(rows) != texts:
        raise ValueError(f"the tokenizer made {len(rows)} rows of {texts} texts; one for each is needed")
    for number, row in enumerate(rows):
        if not 0 < len(row) <= length:
            raise ValueError(
                f"{split.name}, row {int(split.rows[start + number])}: the tokenizer made {len(row)} ids of the "
                f"text; it may give 1 to {length}"
            )
