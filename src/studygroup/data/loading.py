"""The one door: a name or a folder in, train, hold-out and test out."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from studygroup.data.images import Shape
from studygroup.data.places import open_source
from studygroup.data.source import TEST_SEED, TEST_SHARE, Size, cut_test
from studygroup.data.splits import Split, decoded_bytes, in_memory, pixel_statistics
from studygroup.data.stratify import stratified, without


class NoTestSplitWarning(UserWarning):
    """A data set has no test split; a fixed part of the training rows was set aside."""


@dataclass(frozen=True)
class Data:
    """A data set, ready to train on.

    Attributes:
        train: what students learn from.
        holdout: drawn from the training rows, to choose by; may be empty.
        test: to report on; equal for every seed.
        classes: names of the classes, in the order of the labels.
        name: what to call the data set.
        mean: mean of each channel over `train`, pixels counted as 0 to 1.
        std: population standard deviation of each channel over `train`, likewise.
    """

    train: Split
    holdout: Split
    test: Split
    classes: tuple[str, ...]
    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def shape(self) -> Shape:
        """Channels, height and width of every image."""
        return self.train.shape


def load(
    spec: str | Path,
    *,
    holdout: float | int = 0.1,
    seed: int = 0,
    train_rows: int | None = None,
    test_rows: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    in_memory_bytes: int = 4 * 2**30,
) -> Data:
    """Loads a data set of labelled images.

    The test rows are the official test split, else the official validation split. Where there is neither, a
    sixth of the training rows is set aside, always the same, with a `NoTestSplitWarning`. An official
    validation split beside a test split is not used. All draws keep each class's share.

    Args:
        spec: `"digits"` (scikit-learn's, always available); a folder that holds Parquet files
            (`train.parquet` and `test.parquet`, or the hub's layout), the official CIFAR files
            (`cifar-10-batches-py` or `cifar-100-python`), or images in one sub-folder per class, optionally
            under `train` and `test`; else a name on the Hugging Face hub, such as `"uoft-cs/cifar10"`. A
            folder goes before a hub name.
        holdout: rows held out from training: a share in [0, 1), or, as an int, a number of rows.
        seed: of the draws of `train_rows` and `holdout`; the test rows never depend on it.
        train_rows: use only so many training rows, hold-out included; None uses all. Other rows are never
            decoded.
        test_rows: use only so many test rows, always the same; None uses all.
        image_size: height and width in pixels to scale every image to (one int for a square; proportions are
            not kept); None takes images as they are, all of one size.
        in_memory_bytes: up to this total size, images are decoded at once and kept in memory; larger sets are
            decoded from a memory map whenever a row is used (`digits` and the official CIFAR files never are).

    Returns:
        The splits. Mean and deviation are taken over the training rows, hold-out excluded, of which a set of
        more than 50,000 gives as many, evenly spaced.

    Raises:
        ValueError: the data set is missing, damaged or ambiguous, its images or labels do not fit together, a
            class has no training rows, or an argument is out of range.
    """
    source = open_source(spec, image_size=_size(image_size))
    train, test = source.train, source.test
    if test is None:
        train, test = cut_test(train)
        warnings.warn(
            f"{source.name} has no test split: {len(test)} of its rows (a share of {TEST_SHARE:.3f}, every "
            "class in proportion, always the same) were set aside as one",
            NoTestSplitWarning,
            stacklevel=2,
        )
    if train_rows is not None:
        train = train.take(stratified(train.labels, train_rows, seed=seed, draw="train"))
    if test_rows is not None:
        test = test.take(stratified(test.labels, test_rows, seed=TEST_SEED, draw="test"))
    held = stratified(train.labels, _held_rows(holdout, len(train)), seed=seed, draw="holdout")
    splits = {"train": train.take(without(len(train), held)), "holdout": train.take(held), "test": test}
    _check_classes(splits["train"], source.classes, name=source.name)
    if sum(decoded_bytes(split) for split in splits.values()) <= in_memory_bytes:
        splits = {name: in_memory(split) for name, split in splits.items()}
    mean, std = pixel_statistics(splits["train"])
    return Data(**splits, classes=source.classes, name=source.name, mean=mean, std=std)


def _size(image_size: int | tuple[int, int] | None) -> Size:
    """Height and width; an int stands for a square."""
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if size is not None and min(size) < 1:
        raise ValueError(f"image_size is {image_size}; give a height and a width of at least 1 pixel")
    return size


def _held_rows(holdout: float | int, total: int) -> int:
    """How many rows are held out."""
    if isinstance(holdout, int) and 0 <= holdout < total:
        return holdout
    if isinstance(holdout, float) and 0 <= holdout < 1:
        return round(holdout * total)
    raise ValueError(
        f"holdout is {holdout!r} of {total} training rows; give a share in [0, 1) or, as an int, fewer rows "
        "than there are"
    )


def _check_classes(train: Split, classes: tuple[str, ...], *, name: str) -> None:
    """Every class must be there to be learnt."""
    counts = torch.bincount(train.labels, minlength=len(classes))
    empty = [classes[number] for number in (counts == 0).nonzero().flatten().tolist()]
    if empty:
        raise ValueError(
            f"{name}: of {len(classes)} classes, {len(empty)} have no row among the {len(train)} to train on "
            f"({', '.join(empty[:5])}{', ...' if len(empty) > 5 else ''}); raise train_rows, lower holdout, "
            "or remove the classes"
        )
