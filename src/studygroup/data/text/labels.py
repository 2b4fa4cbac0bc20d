"""The labels of texts: numbers of classes, or their names."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import datasets
import numpy as np
import pyarrow
import pyarrow.compute
import torch
from jaxtyping import Int64
from torch import Tensor

from studygroup.data.columns import (
    class_names,
    is_text,
    is_whole,
    label_column,
    label_values,
    listed,
    read_labels,
)

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")


def read_classes(
    name: str, tables: Mapping[str, Any]
) -> tuple[dict[str, Int64[Tensor, "_rows"]], tuple[str, ...]]:
    """Read the labels of all splits; the classes are those of the training rows.

    A column `label` of strings holds whole numbers, if all strings in the training rows are, or names of classes,
    which are numbered in sorted order. Otherwise see `label_column`.

    Args:
        name: what to call the data set in an error message.
        tables: a `datasets.Dataset` by split name.

    Returns:
        The labels by split name, and the names of the classes.

    Raises:
        ValueError: no clear label column, a missing label, names among numbers, a name that no training row has, or
            more classes by number than training rows.
    """
    features = tables["train"].features
    if is_text(features.get("label")):
        check_alike(tables, "label", is_text, name=name)
        values = {
            split: label_values(table, "label", where=f"{name} {split}") for split, table in tables.items()
        }
        return _read_strings(name, values)
    column = label_column(features)
    check_alike(tables, column, is_whole, name=name)
    labels = {split: read_labels(table, column, where=f"{name} {split}") for split, table in tables.items()}
    if isinstance(features[column], datasets.ClassLabel):
        return labels, tuple(features[column].names)
    return labels, _numbers(labels["train"], features[column], where=f"{name} train")


def check_alike(tables: Mapping[str, Any], column: str, kind: Callable[[Any], bool], *, name: str) -> None:
    """Refuse splits that lack a column of the training split, or hold another kind of values in it.

    Args:
        tables: a `datasets.Dataset` by split name.
        column: its name.
        kind: tells whether a feature is of the same kind as in the training split.
        name: what to call the data set in an error message.

    Raises:
        ValueError: names the split, and lists its columns.
    """
    for split, table in tables.items():
        if not kind(table.features.get(column)):
            raise ValueError(
                f"{name} {split} has the columns {listed(table.features)}, and in {column!r} not what the training "
                "split has there; bring both to one form"
            )


def _read_strings(
    name: str, values: Mapping[str, pyarrow.ChunkedArray]
) -> tuple[dict[str, Int64[Tensor, "_rows"]], tuple[str, ...]]:
    """Return labels and classes from strings."""
    found = {split: pyarrow.compute.unique(strings).to_pylist() for split, strings in values.items()}
    whole = any(map(_WHOLE.fullmatch, found["train"]))
    classes = tuple(sorted(found["train"]))
    known = {string: number for number, string in enumerate(classes)}
    labels = {}
    for split, strings in values.items():
        wrong = [s for s in found[split] if not (_WHOLE.fullmatch(s) if whole else s in known)]
        if wrong:
            row = pyarrow.compute.index(strings, wrong[0]).as_py()
            others = "others are whole numbers" if whole else f"the training rows have {str(classes)[:200]}"
            raise ValueError(f"{name} {split}, row {row}: the label is {wrong[0]!r} and {others}; correct it")
        numbers = np.array([int(s) if whole else known[s] for s in found[split]], dtype=np.int64)
        places = pyarrow.compute.index_in(strings, value_set=pyarrow.array(found[split], strings.type))
        labels[split] = torch.from_numpy(numbers[places.to_numpy()])
    if not whole:
        return labels, classes
    return labels, _numbers(labels["train"], None, where=f"{name} train")


def _numbers(labels: Int64[Tensor, "rows"], feature: Any, *, where: str) -> tuple[str, ...]:
    """Return the names of classes that are numbers; refuse numbers too large to be labels."""
    largest = int(labels.max())
    if largest >= len(labels):
        raise ValueError(
            f"{where}: the largest label is {largest} and there are {len(labels)} rows, so that not every class has "
            "one; labels are whole numbers from 0 on, without gaps"
        )
    return class_names(feature, labels)
