"""Detection of the columns of a table that hold the images and the labels."""

from collections.abc import Mapping
from typing import Any

import datasets
import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

_LABEL_NAMES = ("label", "fine_label")  # in order of preference
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_STRINGS = ("string", "large_string")


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
    """Return the column of class labels: `label`, else `fine_label`, else the only one of type ClassLabel.

    Raises:
        ValueError: no column qualifies, or several do; lists the columns.
    """
    classes = [name for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    numbers = [name for name, feature in features.items() if is_whole(feature)]
    for name in _LABEL_NAMES:
        if name in classes or name in numbers:
            return name
    if len(classes) != 1:
        raise ValueError(
            f"{len(classes)} columns hold class labels, one is needed: {listed(features)}; call the right "
            "one 'label' and store it as whole numbers or datasets.ClassLabel"
        )
    return classes[0]


def class_names(feature: Any, labels: Int64[Tensor, "rows"]) -> tuple[str, ...]:
    """Return the names of the classes: those of the ClassLabel, else the numbers 0 to the largest label."""
    if isinstance(feature, datasets.ClassLabel):
        return tuple(feature.names)
    return tuple(str(number) for number in range(int(labels.max()) + 1)) if len(labels) else ()


def read_labels(table: Any, column: str, *, where: str) -> Int64[Tensor, "rows"]:
    """Read a label column of whole numbers, see `label_values`."""
    return torch.from_numpy(label_values(table, column, where=where).to_numpy().astype(np.int64))


def label_values(table: Any, column: str, *, where: str) -> Any:
    """Return a label column as a `pyarrow.ChunkedArray`, without reading images or texts.

    Args:
        table: a `datasets.Dataset`.
        column: name of the label column.
        where: what to call the table in an error message.

    Raises:
        ValueError: a label is missing; names the row.
    """
    values = table.select_columns([column]).with_format("arrow")[:][column]
    if values.null_count:
        row = int(np.flatnonzero(values.is_null().to_numpy())[0])
        raise ValueError(
            f"{where}, row {row}: there is no label in column {column!r}; add it or remove the row"
        )
    return values


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


def is_whole(feature: Any) -> bool:
    """Tell whether a column holds whole numbers; class labels count as such."""
    return getattr(feature, "dtype", None) in _INTEGERS


def is_text(feature: Any) -> bool:
    """Tell whether a column holds strings."""
    return getattr(feature, "dtype", None) in _STRINGS


def is_image(feature: Any) -> bool:
    """Tell whether a column holds images: as a feature, or as bytes and path (files not written by `datasets`)."""
    if isinstance(feature, dict):
        return set(feature) == {"bytes", "path"}
    return isinstance(feature, datasets.Image)


def listed(features: Mapping[str, Any]) -> str:
    """Format the columns with their types, for a message."""
    return ", ".join(f"{name}: {feature}" for name, feature in features.items())
