"""Fingerprints of a data set as it was read: its classes, its labels, and the rows themselves."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import xxhash
from jaxtyping import Int64
from torch import Tensor

from studygroup.data.splits import ArrowSplit, Relabelled, Rows, Split

_CHUNK = 1024  # rows read at once
_MOST = (
    2**16
)  # encoded pictures that are read of a split, evenly spaced: a memory map may be larger than memory


def sum_of(value: Any) -> str:
    """Return the checksum of plain values.

    Args:
        value: as JSON takes it.
    """
    return xxhash.xxh3_128(json.dumps(value, sort_keys=True).encode()).hexdigest()


def sum_of_labels(labels: Int64[Tensor, "rows"]) -> str:
    """Return the checksum of labels, their number and order included."""
    return xxhash.xxh3_128(_bytes(labels)).hexdigest()


def sums_of_split(split: Split) -> dict[str, str]:
    """Return the checksums of a split.

    Args:
        split: its rows are all read. Encoded pictures are not decoded, and of more than 65,536 as many are read,
            evenly spaced.

    Returns:
        `labels`, and `rows` as a network gets them or, where pictures stay encoded, `encoded`.
    """
    inner = split
    while isinstance(inner, Relabelled):
        inner = inner.split
    labels = sum_of_labels(split.labels)
    if isinstance(inner, ArrowSplit):
        return {"labels": labels, "encoded": _sum_of_encoded(inner)}
    total = xxhash.xxh3_128()
    for some in torch.split(torch.arange(len(split)), _CHUNK):
        _add(total, inner[some][0])
    return {"labels": labels, "rows": total.hexdigest()}


def _add(total: xxhash.xxh3_128, rows: Rows) -> None:
    named = rows if isinstance(rows, Mapping) else {"": rows}
    for name, value in named.items():
        total.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        total.update(_bytes(value))


def _sum_of_encoded(split: ArrowSplit) -> str:
    """Return the checksum of the files of pictures, wherever they lie."""
    total = xxhash.xxh3_128(str(split.shape).encode())
    spaced = torch.linspace(0, len(split) - 1, min(len(split), _MOST), dtype=torch.float64).round().long()
    for some in torch.split(split.rows[spaced], _CHUNK):
        for record in _records(split, some.tolist()):
            content = record and (record["bytes"] or Path(record["path"]).read_bytes())
            total.update(f"{len(content or b'')} ".encode() + (content or b""))
    return total.hexdigest()


def _records(split: ArrowSplit, rows: Sequence[int]) -> Sequence[Any]:
    found: Sequence[Any] = split.table[rows][split.column] if rows else []
    return found


def _bytes(value: Tensor) -> Any:
    return value.contiguous().numpy().data
