"""Labels of all splits by the names of their classes, however a column stores them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute
import torch
from jaxtyping import Int64
from torch import Tensor

from studygroup.data.columns import (
    check_labels,
    is_class_label,
    is_flag,
    is_number,
    is_text,
    label_column,
    label_values,
    listed,
    whole_numbers,
)

TEST_NAMES = ("test", "validation", "valid", "val", "dev")
"""Names of splits that can serve as the test split, in order of preference."""
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}(\.0*)?")
_SHOWN = 5  # classes in a message


@dataclass(frozen=True)
class _Column:
    """The labels of one split: numbers, and the names of what they number, `None` for bare numbers."""

    numbers: Int64[Tensor, "rows"]
    names: tuple[str, ...] | None


def read_classes(
    name: str, tables: Mapping[str, Any]
) -> tuple[dict[str, Int64[Tensor, "_rows"]], tuple[str, ...]]:
    """Read the labels of the training split and of what serves as test split, by the names of the classes.

    Names are those of a ClassLabel, in its order, else strings, in sorted order, else the whole numbers themselves,
    from 0 or from 1 on (also as floats or strings), else False and True. Another split's labels are matched by
    name, whatever numbers they have there.

    Returns:
        The labels by split name, `train` first, and the names of the classes.

    Raises:
        ValueError: no clear label column, splits that store it in different ways, a label that is missing, negative,
            no whole number, a name among numbers, or unknown in the training rows; numbers with gaps.
    """
    column = label_column(tables["train"].features)
    names_of = _kind(tables["train"].features[column])
    check_alike(tables, column, lambda feature: _kind(feature) == names_of, name=name)
    read = {split: _read(tables[split], column, where=f"{name} {split}") for split in tables}
    chosen = ["train", *test_split({split: values.numbers for split, values in read.items()})]
    bare = [split for split in chosen if (read[split].names is None) != (read["train"].names is None)]
    if bare:
        raise ValueError(
            f"{name} {bare[0]}: some labels are whole numbers, and in the other split all are names; bring both to "
            "one form"
        )
    classes, first = _classes(read["train"], where=f"{name} train")
    labels = {split: _by_name(read[split], classes, first=first, where=f"{name} {split}") for split in chosen}
    return labels, classes


def test_split(labels: Mapping[str, Int64[Tensor, "_rows"]]) -> list[str]:
    """Return what serves as test split: the first whose labels are not withheld (all negative, as in ImageNet's)."""
    there = [split for split in TEST_NAMES if split in labels]
    return [*(split for split in there if not (labels[split] < 0).all()), *there][:1]


def check_alike(tables: Mapping[str, Any], column: str, kind: Callable[[Any], bool], *, name: str) -> None:
    """Refuse splits that lack a column of the training split, or hold another kind of values in it.

    Raises:
        ValueError: names the split, and lists its columns.
    """
    for split, table in tables.items():
        if not kind(table.features.get(column)):
            raise ValueError(
                f"{name} {split} has the columns {listed(table.features)}, and in {column!r} not what the training "
                "split has there; bring both to one form"
            )


def check_gaps(labels: Int64[Tensor, "rows"], *, first: int, where: str) -> None:
    """Refuse whole numbers that leave out some between the first class, 0 or 1, and the largest.

    Raises:
        ValueError: names the first numbers that are no row's label.
    """
    largest = int(labels.max())
    # counting takes less memory than sorting, unless a single number is large
    there = torch.bincount(labels).nonzero().flatten() if largest <= len(labels) else torch.unique(labels)
    missing = largest + 1 - first - len(there)
    if missing:
        some = torch.arange(first, first + len(there) + _SHOWN)
        some = some[~torch.isin(some, there)][: min(missing, _SHOWN)]
        raise ValueError(
            f"{where}: the largest label is {largest} and no row has {missing} of the labels from {first} on "
            f"({', '.join(map(str, some.tolist()))}{', ...' if missing > len(some) else ''}); number the classes "
            "without gaps, or store their names, as datasets.ClassLabel or as strings that are no numbers"
        )


def _kind(feature: Any) -> str | None:
    """Return how labels are stored, as far as splits must agree in it: by name, by number or as truth values."""
    if is_class_label(feature) or is_text(feature):
        return "names"
    if is_number(feature):
        return "numbers"
    return "truth values" if is_flag(feature) else None


def _read(table: Any, column: str, *, where: str) -> _Column:
    """Read the labels of one split as they are stored."""
    feature = table.features[column]
    values = label_values(table, column, where=where)
    if is_text(feature):
        return _strings(values, column, where=where)
    if is_flag(feature):
        return _Column(torch.from_numpy(values.to_numpy().astype(np.int64)), ("False", "True"))
    numbers = whole_numbers(values, column, where=where)
    return _Column(numbers, tuple(feature.names) if is_class_label(feature) else None)


def _strings(values: pyarrow.ChunkedArray, column: str, *, where: str) -> _Column:
    """Return labels from strings: whole numbers, if any is one, else names; blanks around them do not count."""
    values = pyarrow.compute.utf8_trim_whitespace(values)
    found = pyarrow.compute.unique(values).to_pylist()
    whole = any(map(_WHOLE.fullmatch, found))
    for string in found:
        if not string or (whole and not _WHOLE.fullmatch(string)):
            row = pyarrow.compute.index(values, string).as_py()
            if not string:
                raise ValueError(
                    f"{where}, row {row}: there is no label in column {column!r}; add it or remove the row"
                )
            raise ValueError(
                f"{where}, row {row}: the label is {string!r:.80} and others are whole numbers; correct it"
            )
    names = tuple(sorted(found))
    places = {name: number for number, name in enumerate(names)}
    numbers = [int(string.partition(".")[0]) if whole else places[string] for string in found]
    rows = pyarrow.compute.index_in(values, value_set=pyarrow.array(found, values.type))
    labels = torch.from_numpy(np.array(numbers, dtype=np.int64)[rows.to_numpy()])
    return _Column(labels, None if whole else names)


def _classes(train: _Column, *, where: str) -> tuple[tuple[str, ...], int]:
    """Return the names of the classes, and the number of the first where they are bare numbers."""
    if train.names is not None:
        return train.names, 0
    negative = (train.numbers < 0).nonzero().flatten()
    if len(negative):
        row = int(negative[0])
        raise ValueError(
            f"{where}, row {row}: the label is {int(train.numbers[row])}, below 0 ({len(negative)} such rows); "
            "correct or remove them (a negative label often means withheld)"
        )
    first = 1 if int(train.numbers.min()) == 1 else 0
    check_gaps(train.numbers, first=first, where=where)
    return tuple(map(str, range(first, int(train.numbers.max()) + 1))), first


def _by_name(column: _Column, classes: tuple[str, ...], *, first: int, where: str) -> Int64[Tensor, "rows"]:
    """Return one split's labels as numbers of the training split's classes."""
    if column.names is None:
        _check_known(column.numbers, classes, first=first, where=where)
        return column.numbers - first
    check_labels(column.numbers, column.names, where=where)
    if column.names == classes:
        return column.numbers
    places = {name: number for number, name in enumerate(classes)}
    labels = torch.tensor([places.get(name, -1) for name in column.names])[column.numbers]
    unknown = (labels < 0).nonzero().flatten()
    if len(unknown):
        row = int(unknown[0])
        raise ValueError(
            f"{where}, row {row}: the label is {column.names[int(column.numbers[row])]!r} and the training rows have "
            f"{str(classes)[:200]} ({len(unknown)} such rows); correct or remove them"
        )
    return labels


def _check_known(numbers: Int64[Tensor, "rows"], classes: tuple[str, ...], *, first: int, where: str) -> None:
    """Refuse bare numbers that no training row has."""
    if not first:
        check_labels(numbers, classes, where=where)
        return
    wrong = ((numbers < first) | (numbers >= first + len(classes))).nonzero().flatten()
    if len(wrong):
        raise ValueError(
            f"{where}, row {int(wrong[0])}: the label is {int(numbers[wrong[0]])} and the training rows have {first} "
            f"to {classes[-1]} ({len(wrong)} such rows); correct or remove them"
        )
