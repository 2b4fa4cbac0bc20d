"""An opened data set: its published splits and class names, nothing decoded yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from studygroup.batching import without
from studygroup.data.columns import image_column, is_image
from studygroup.data.images import ONE_SIZE, Shape, resize, shape_of
from studygroup.data.labels import TEST_NAMES, check_alike, read_classes
from studygroup.data.splits import ArrowSplit, Labelled, MemorySplit
from studygroup.data.stratify import stratified

Size = tuple[int, int] | None  # height and width to scale to; None leaves images as they are

TEST_SHARE = 1 / 6  # of a data set without test split: the share of CIFAR's official one
TEST_SEED = 0  # of every draw that makes a test set: no argument may change the test rows
_PROBED = 64  # images whose headers are read for mode and size: all headers of a large set would take minutes


@dataclass(frozen=True)
class Source:
    """An opened data set.

    Attributes:
        name: what to call it.
        classes: names of the classes, in the order of the labels.
        train: the training rows.
        test: the official test rows, else the official validation rows, else None.
    """

    name: str
    classes: tuple[str, ...]
    train: Labelled
    test: Labelled | None


def test_rows_of(train: Labelled) -> Int64[Tensor, "rows"]:
    """Return the rows set aside if there is no test split, always the same: a sixth, every class in proportion."""
    return stratified(train.labels, round(TEST_SHARE * len(train)), seed=TEST_SEED, draw="test")


def cut_test(train: Labelled) -> tuple[Labelled, Labelled]:
    """Divide a split into train and test at `test_rows_of`."""
    held = test_rows_of(train)
    return train.take(without(len(train), held)), train.take(held)


def from_pixels(
    images: UInt8[Tensor, "rows channels height width"], labels: Sequence[int], *, image_size: Size
) -> MemorySplit:
    """Build a split over images that are decoded already."""
    if image_size:
        images = resize(images, image_size)
    return MemorySplit(images.contiguous(), torch.as_tensor(labels, dtype=torch.int64))


def from_tables(name: str, tables: Mapping[str, Any], *, image_size: Size) -> Source:
    """Build splits over Hugging Face tables, by name of the split.

    Raises:
        ValueError: no training split, no clear image or label column, labels that do not fit (see `read_classes`), or
            images of unequal size without `image_size`.
    """
    import datasets  # seconds that data without tables do without

    if "train" not in tables or not len(tables["train"]):
        raise ValueError(
            f"{name} has no rows in a split 'train', only {sorted(tables)}; give a data set with some"
        )
    images = image_column(tables["train"].features)
    tables = {split: tables[split] for split in ("train", *TEST_NAMES) if split in tables}
    check_alike(tables, images, is_image, name=name)
    labels, classes = read_classes(name, tables)
    encoded = {split: tables[split].cast_column(images, datasets.Image(decode=False)) for split in labels}
    shape = _probe(encoded["train"], images, image_size=image_size, where=f"{name} train")
    splits = []
    for split in labels:
        splits.append(
            ArrowSplit(
                encoded[split],
                column=images,
                labels=labels[split],
                shape=shape,
                rows=torch.arange(len(labels[split])),
                resized=image_size is not None,
                name=f"{name} {split}",
            )
        )
    return Source(name, classes, splits[0], splits[1] if len(splits) > 1 else None)


def _probe(table: Any, column: str, *, image_size: Size, where: str) -> Shape:
    """Return the shape that all images must have, from the headers of evenly spaced ones."""
    rows = torch.linspace(0, len(table) - 1, min(len(table), _PROBED)).long().tolist()
    shapes = {}
    for row, record in zip(rows, table[rows][column], strict=True):
        try:
            shapes[row] = shape_of(record or {"bytes": None, "path": None})
        except OSError as error:
            named = f" ({record['path']})" if record and record["path"] else ""
            raise ValueError(
                f"{where}, row {row}{named}: the image cannot be read ({error}); repair or remove it"
            ) from error
    channels = max(shape[0] for shape in shapes.values())
    if image_size:
        return (channels, *image_size)
    _, height, width = shapes[0]
    for row, (_, high, wide) in shapes.items():
        if (high, wide) != (height, width):
            raise ValueError(
                f"{where}: the image in row {row} is {high} x {wide} and that in row 0 is {height} x "
                f"{width}; {ONE_SIZE}"
            )
    return (channels, height, width)
