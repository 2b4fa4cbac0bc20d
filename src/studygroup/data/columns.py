"""Detection of the columns of a table that hold the images and the labels."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

_LABEL_NAMES = ("label", "fine_label")  # in order of preference
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_FLOATS = ("float16", "float32", "float64")
_STRINGS = ("string", "large_string", "string_view")


def image_column(features: Mapping[str, Any]) -> str:
    """Return the name of the only column of images.

    Raises:
        ValueError: there is none or more than one; lists the columns.
    """
    found = [name for name, feature in features.items() if is_image(feature)]
    if len(found) != 1:
        raise ValueError(
            f"{len(found)} columns hold images, one is needed: {listed(features)}; cast the right one to "
            "datasets.Image and remove the others"
        )
    return found[0]


def label_column(features: Mapping[str, Any]) -> str:
    """Return the column of labels: `label`, else `fine_label`, else the only one of type ClassLabel.

    Raises:
        ValueError: no column qualifies, or several do; lists the columns.
    """
    classes = [name for name, feature in features.items() if is_class_label(feature)]
    for name in _LABEL_NAMES:
        if name in classes or any(kind(features.get(name)) for kind in (is_number, is_text, is_flag)):
            return name
    if len(classes) != 1:
        raise ValueError(
            f"{len(classes)} columns hold class labels, one is needed: {listed(features)}; call the right "
            "one 'label' and store it as whole numbers, strings or datasets.ClassLabel"
        )
    return classes[0]


def label_values(table: Any, column: str, *, where: str) -> Any:
    """Return a label column of a `datasets.Dataset` as a `pyarrow.ChunkedArray`, without reading images or texts.

    Raises:
        ValueError: a label is missing; names the row.
    """
    values = table.select_columns([column]).with_format("arrow")[:][column]
    if values.null_count:
        row = int(np.flatnonzero(values.is_null().to_numpy())[0])
        raise _missing(row, column, where=where)
    return values


def whole_numbers(values: Any, column: str, *, where: str) -> Int64[Tensor, "rows"]:
    """Return the numbers of a `pyarrow.ChunkedArray`, of any type, of which every one must be whole.

    Raises:
        ValueError: a number is missing (NaN), not whole, or beyond 64 bits; names the row.
    """
    numbers = values.to_numpy()
    if np.issubdtype(numbers.dtype, np.signedinteger):
        return torch.from_numpy(np.array(numbers, dtype=np.int64))
    if np.issubdtype(numbers.dtype, np.floating):
        lost = np.flatnonzero(np.isnan(numbers))
        if len(lost):
            raise _missing(int(lost[0]), column, where=where)
    with np.errstate(invalid="ignore"):
        whole = numbers.astype(np.int64)
    wrong = np.flatnonzero((whole != numbers) | ((whole < 0) & (numbers > 0)))
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(
            f"{where}, row {row}: the label is {numbers[row]} in column {column!r}, not a class number "
            f"({len(wrong)} such rows); store whole numbers from 0 on, or names of classes"
        )
    return torch.from_numpy(whole)


def _missing(row: int, column: str, *, where: str) -> ValueError:
    return ValueError(f"{where}, row {row}: there is no label in column {column!r}; add it or remove the row")


def check_labels(labels: Int64[Tensor, "rows"], classes: tuple[str, ...], *, where: str) -> None:
    """Refuse labels that are not the number of a class.

    Raises:
        ValueError: a label is below 0 or not below the number of classes; names the row.
    """
    wrong = ((labels < 0) | (labels >= len(classes))).nonzero().flatten()
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(
            f"{where}, row {row}: the label is {int(labels[row])} and there are {len(classes)} classes, "
            f"numbered from 0 ({len(wrong)} such rows); correct or remove them (a negative label often means "
            "withheld)"
        )


def is_number(feature: Any) -> bool:
    """Tell whether a column holds numbers, whole or not; class labels count as such."""
    return getattr(feature, "dtype", None) in (*_INTEGERS, *_FLOATS)


def is_flag(feature: Any) -> bool:
    """Tell whether a column holds truth values."""
    return getattr(feature, "dtype", None) == "bool"


def is_text(feature: Any) -> bool:
    """Tell whether a column holds strings."""
    return getattr(feature, "dtype", None) in _STRINGS


def is_image(feature: Any) -> bool:
    """Tell whether a column holds images: as a feature, or as bytes and path (files not written by `datasets`)."""
    if isinstance(feature, dict):
        return set(feature) == {"bytes", "path"}
    import datasets  # seconds that data without tables do without

    return isinstance(feature, datasets.Image)


def is_class_label(feature: Any) -> bool:
    """Tell whether a column holds classes by number, with their names."""
    import datasets  # seconds that data without tables do without

    return isinstance(feature, datasets.ClassLabel)


def listed(features: Mapping[str, Any]) -> str:
    """Format the columns with their types, for a message."""
    return ", ".join(f"{name}: {feature}" for name, feature in features.items())
