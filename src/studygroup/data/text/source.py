"""An opened data set of texts: splits and class names, nothing tokenised yet."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from studygroup.data.columns import check_labels, is_image, is_text, label_values, listed, whole_numbers
from studygroup.data.labels import TEST_NAMES, check_alike, check_gaps, read_classes, test_split
from studygroup.data.source import Source
from studygroup.data.text.csv_files import is_numbered, named_table, numbered_table
from studygroup.data.text.split import TextSplit, check_texts

CLASSES_FILE = "classes.txt"  # next to official CSV files: names of the classes by number, one per line
_COLUMNS = (("text",), ("question_title", "question_content", "best_answer"), ("title", "content"))
# copies of Zhang's CSV files on the hub, which keep their escape for newlines
_ESCAPED = (
    "Yelp/yelp_review_full",
    "yelp_review_full",
    "community-datasets/yahoo_answers_topics",
    "yahoo_answers_topics",
)


def holds_texts(tables: Mapping[str, Any]) -> bool:
    """Tell whether tables are read as texts: they contain strings and no images."""
    features = [feature for table in tables.values() for feature in table.features.values()]
    return any(map(is_text, features)) and not any(map(is_image, features))


def text_columns(features: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns that make up a text.

    These are `text`; else `question_title`, `question_content` and `best_answer` (Yahoo! Answers); else `title` and
    `content` (Amazon); else the only column of strings.

    Raises:
        ValueError: no such columns; lists those there are.
    """
    strings = [name for name, feature in features.items() if is_text(feature)]
    for names in _COLUMNS:
        if set(names) <= set(strings):
            return names
    others = [name for name in strings if name != "label"]
    if len(others) != 1:
        raise ValueError(
            f"{len(others)} columns hold strings and none is called 'text': {listed(features)}; call the right one so"
        )
    return (others[0],)


def from_text_tables(name: str, tables: Mapping[str, Any]) -> Source:
    """Build splits over Hugging Face tables, by name of the split.

    Labels are read like those of images, see `read_classes`.

    Raises:
        ValueError: no training split, no clear text or label column, a missing text or label, or a label
            out of range.
    """
    if "train" not in tables or not len(tables["train"]):
        raise ValueError(
            f"{name} has no rows in a split 'train', only {sorted(tables)}; give a data set with some"
        )
    tables = {split: tables[split] for split in ("train", *TEST_NAMES) if split in tables}
    columns = text_columns(tables["train"].features)
    for column in columns:
        check_alike(tables, column, is_text, name=name)
    labels, classes = read_classes(name, tables)
    return _source(name, tables, labels, classes, columns=columns, escaped=name in _ESCAPED)


def from_csv(folder: Path, files: Mapping[str, Sequence[str]]) -> Source:
    """Build splits over CSV files: with `text` and `label` in a header, or the official ones of Zhang et al. (2015).

    The latter have no header, a class number from 1 on, and one to three columns of text. `classes.txt` next to them
    names the classes; without it, they are named by their numbers.

    Raises:
        ValueError: a file is damaged (names the line), there are files of both kinds, or as for `from_text_tables`.
    """
    files = {split: files[split] for split in ("train", *TEST_NAMES) if split in files}
    numbered = {file: is_numbered(file) for split in files.values() for file in split}
    if not any(numbered.values()):
        return from_text_tables(folder.name, {split: named_table(some) for split, some in files.items()})
    headed = [Path(file).name for file, number in numbered.items() if not number]
    if headed:
        raise ValueError(
            f"{folder}: {', '.join(headed)} begin with a header and the others with a class number; bring all to one "
            "form"
        )
    tables = {split: numbered_table(some) for split, some in files.items()}
    all_labels = {split: _numbers(table, f"{folder.name} {split}") for split, table in tables.items()}
    labels = {split: all_labels[split] for split in ("train", *test_split(all_labels))}
    listed_in = Path(files["train"][0]).with_name(CLASSES_FILE)
    if listed_in.is_file():
        classes = _names(listed_in)
    else:
        check_gaps(labels["train"] + 1, first=1, where=f"{folder.name} train")
        classes = tuple(str(number) for number in range(1, int(labels["train"].max()) + 2))
    for split, numbers in labels.items():
        check_labels(numbers, classes, where=f"{folder.name} {split}")
    return _source(folder.name, tables, labels, classes, columns=("text",))


def _numbers(table: Any, where: str) -> Int64[Tensor, "rows"]:
    """Return the class numbers of a table without names, counted from 0."""
    return whole_numbers(label_values(table, "label", where=where), "label", where=where)


def _names(file: Path) -> tuple[str, ...]:
    """Return the names of classes, one a line; blank lines are none."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} cannot be read as text in UTF-8 ({error}); convert it") from error
    names = tuple(line.strip() for line in lines if line.strip())
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"{file} names two classes {twice[0]!r}; give each class a name of its own")
    return names


def _source(
    name: str,
    tables: Mapping[str, Any],
    labels: Mapping[str, Int64[Tensor, "_rows"]],
    classes: tuple[str, ...],
    *,
    columns: tuple[str, ...],
    escaped: bool = False,
) -> Source:
    """Build splits over tables whose labels are known."""
    splits = []
    for split in labels:
        where, rows = f"{name} {split}", torch.arange(len(labels[split]))
        for column in columns:
            texts = tables[split].select_columns([column]).with_format("arrow")[:][column]
            check_texts(texts, rows, column=column, where=where)
        splits.append(
            TextSplit(
                tables[split], columns=columns, labels=labels[split], rows=rows, name=where, escaped=escaped
            )
        )
    return Source(name, classes, splits[0], splits[1] if len(splits) > 1 else None)
