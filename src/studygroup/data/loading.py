"""The entry point to data: load training, hold-out and test rows by a name or from a folder."""

import functools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from studygroup.batching import without
from studygroup.data.fingerprint import sum_of, sum_of_labels, sums_of_split
from studygroup.data.form import LARGEST_SIDE, Form, Pictures, Texts
from studygroup.data.noise import EpochLabels, LabelNoise, TrueLabels, clean
from studygroup.data.places import open_source
from studygroup.data.raw import all_in_memory, pixel_statistics
from studygroup.data.source import TEST_SEED, TEST_SHARE, Size, Source, test_rows_of
from studygroup.data.splits import Labelled, PictureSplit, Split, relabelled
from studygroup.data.stratify import stratified
from studygroup.data.text import SentencePiece, TextSplit, Tokenizer, encoded
from studygroup.seeding import derive

_TOKENIZER = SentencePiece()


class NoTestSplitWarning(UserWarning):
    """A warning that a data set has no test split, so a fixed part of the training rows was set aside."""


@dataclass(frozen=True)
class Data:
    """A data set, ready to train on.

    Attributes:
        train: what students learn from, with the true labels.
        holdout: drawn from the training rows, for model selection, with the labels that noise leaves; may be empty.
        test: to report on; equal for every seed, its labels always the true ones.
        classes: names of the classes, in the order of the labels.
        name: what to call the data set.
        form: what the rows are, `Pictures` of one size or `Texts` in tokens, and how a network gets them.
        training_labels: gives the labels to learn from in an epoch, one for each row of `train`.
        train_truth: true labels of `train`, and which rows of the published training set these are.
        holdout_truth: the same of `holdout`.
    """

    train: Split
    holdout: Split
    test: Split
    classes: tuple[str, ...]
    name: str
    form: Form
    training_labels: EpochLabels
    train_truth: TrueLabels
    holdout_truth: TrueLabels

    @functools.cached_property
    def fingerprint(self) -> Mapping[str, str]:
        """Checksums of what was read, by name: equal ones, equal training.

        `classes`; `form`, what turns rows into network input; `labels` and `rows` of each split; `noisy labels`, to
        learn from in the first epoch. Pictures that stay encoded have `encoded` in place of `rows`; of more than
        65,536, as many are read.
        """
        return {**self.training_fingerprint, **_sums("test", self.test)}

    @functools.cached_property
    def training_fingerprint(self) -> Mapping[str, str]:
        """The checksums without those of the test rows, which are not read."""
        return {
            "classes": sum_of(self.classes),
            "form": sum_of(self.form.facts),
            "noisy labels": sum_of_labels(self.training_labels(0)),
            **_sums("training", self.train),
            **_sums("hold-out", self.holdout),
        }


def _sums(name: str, split: Split) -> dict[str, str]:
    return {f"{name} {what}": found for what, found in sums_of_split(split).items()}


def load(
    spec: str | Path,
    *,
    options: Mapping[str, Any] | None = None,
    holdout: float | int = 0.1,
    seed: int = 0,
    train_rows: int | None = None,
    test_rows: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    noise: LabelNoise = clean,
    holdout_noise: bool = True,
    tokenizer: Tokenizer = _TOKENIZER,
    in_memory_bytes: int = 4 * 2**30,
) -> Data:
    """Load a data set of labelled images or texts.

    The test rows are the official test split, else the official validation split. If there is neither, a
    sixth of the training rows is set aside, always the same, with a `NoTestSplitWarning`. If there are both, the
    validation split is not used, unless the test labels are withheld. All draws keep each class's share.

    Args:
        spec: `"digits"` (scikit-learn's, always available); a folder that holds Parquet files
            (`train.parquet` and `test.parquet`, or the hub's layout), the official files of CIFAR
            (`cifar-10-batches-py` or `cifar-100-python`), STL-10 (`train_X.bin` and so on) or ImageNet32
            (`train_data_batch_1` to 10 and `val_data`, as `.npz` or pickles), or images in one subfolder per
            class, optionally under `train` and `test`; else a name on the Hugging Face hub, such as
            `"uoft-cs/cifar10"`. A folder takes precedence over a hub name. Texts come from Parquet,
            CSV (the official files of Zhang et al. too) and the hub, see docs/data.md. Or the import path of a data
            set of one's own, such as `torchvision.datasets.CIFAR10`, see docs/own_parts.md.
        options: arguments of a data set of one's own.
        holdout: rows held out from training: a share in [0, 1), or, as an int, a number of rows.
        seed: of the draws of `train_rows` and `holdout`; the test rows never depend on it.
        train_rows: how many training rows to use, hold-out included; None uses all. Other rows are never
            decoded.
        test_rows: how many test rows to use, always the same; None uses all.
        image_size: height and width in pixels to scale every image to (one int for a square; proportions are
            not kept); None takes images as they are, all of one size.
        noise: how the labels to learn from differ from the true ones, see `studygroup.data.noise`.
        holdout_noise: whether the hold-out labels get the same noise, drawn once, as when no clean labels are
            available; else they are the true ones. Test labels are never changed.
        tokenizer: for texts; it is fitted to the training rows alone, hold-out excluded.
        in_memory_bytes: up to this total size, images are decoded at once and kept in memory; larger sets are
            decoded from a memory map whenever a row is used (`digits` and official files are always in memory).

    Returns:
        The splits. Mean and deviation of images are taken over the training rows, hold-out excluded; of more than
        50,000 rows, over 50,000 evenly spaced ones.

    Raises:
        ValueError: the data set is missing, damaged or ambiguous, its images or labels do not fit together, a
            class has no training rows, the noise does not fit the data, or an argument is out of range.
    """
    source = open_source(spec, options=options, image_size=_size(image_size))
    if len(source.classes) < 2:
        raise ValueError(
            f"{source.name} has one class, {source.classes[0]!r}, and there is nothing to tell apart; give rows "
            "of two classes or more"
        )
    rows, test = _train_and_test(source)
    labels = source.train.labels
    if train_rows is not None:
        rows = rows[stratified(labels[rows], train_rows, seed=seed, draw="train")]
    if test_rows is not None:
        test = test.take(stratified(test.labels, test_rows, seed=TEST_SEED, draw="test"))
    held = stratified(labels[rows], _held_rows(holdout, len(rows)), seed=seed, draw="holdout")
    train_truth, holdout_truth = (_truth(source, rows[some]) for some in (without(len(rows), held), held))
    _check_classes(train_truth, name=source.name)
    training_labels = noise(train_truth, seed=derive(seed, "noise"))
    # drawn once: epochs and students are compared by these labels, so they must not change in between
    holdout_labels = (noise if holdout_noise else clean)(holdout_truth, seed=derive(seed, "hold-out noise"))(
        0
    )
    chosen = {"train": source.train.take(train_truth.rows), "holdout": source.train.take(holdout_truth.rows)}
    splits, form = _ready(chosen | {"test": test}, tokenizer=tokenizer, in_memory_bytes=in_memory_bytes)
    if isinstance(form, Pictures) and min(form.std) <= 0:
        raise ValueError(
            f"{source.name}: all pixels of channel {form.std.index(min(form.std))} are the same in the pictures to "
            "train on, and nothing can be learnt from them; give other pictures"
        )
    return Data(
        train=splits["train"],
        holdout=relabelled(splits["holdout"], holdout_labels),
        test=splits["test"],
        classes=source.classes,
        name=source.name,
        form=form,
        training_labels=training_labels,
        train_truth=train_truth,
        holdout_truth=holdout_truth,
    )


def _ready(
    chosen: Mapping[str, Labelled], *, tokenizer: Tokenizer, in_memory_bytes: int
) -> tuple[Mapping[str, Split], Form]:
    """Return the chosen rows, ready for batches, and their form."""
    texts = {name: rows for name, rows in chosen.items() if isinstance(rows, TextSplit)}
    if texts:
        encoder = tokenizer(texts["train"].texts())
        return {name: encoded(rows, encoder) for name, rows in texts.items()}, Texts(encoder)
    pictures = {name: rows for name, rows in chosen.items() if isinstance(rows, PictureSplit)}
    ready = all_in_memory(pictures, most=in_memory_bytes)
    train = ready["train"]
    return ready, Pictures(train.shape, *pixel_statistics(train))


def _train_and_test(source: Source) -> tuple[Int64[Tensor, "rows"], Labelled]:
    """Return the numbers of the training rows, and the test rows, cut from the training split if there are none."""
    if source.test is not None:
        return torch.arange(len(source.train)), source.test
    held = test_rows_of(source.train)
    warnings.warn(
        f"{source.name} has no test split: {len(held)} of its rows (a share of {TEST_SHARE:.3f}, every "
        "class in proportion, always the same) were set aside as one",
        NoTestSplitWarning,
        stacklevel=3,
    )
    return without(len(source.train), held), source.train.take(held)


def _truth(source: Source, rows: Int64[Tensor, "rows"]) -> TrueLabels:
    """Return the true labels of some training rows."""
    labels = source.train.labels
    return TrueLabels(labels=labels[rows], rows=rows, published=len(labels), classes=source.classes)


def _size(image_size: int | tuple[int, int] | None) -> Size:
    """Return height and width; an int stands for a square."""
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if size is not None and not 1 <= min(size) <= max(size) <= LARGEST_SIDE:
        raise ValueError(
            f"image_size is {image_size}; give a height and a width of 1 to {LARGEST_SIDE} pixels"
        )
    return size


def _held_rows(holdout: float | int, total: int) -> int:
    """Return how many rows are held out."""
    if isinstance(holdout, int) and 0 <= holdout < total:
        return holdout
    if isinstance(holdout, float) and 0 <= holdout < 1:
        return round(holdout * total)
    raise ValueError(
        f"holdout is {holdout!r} of {total} training rows; give a share in [0, 1) or, as an int, fewer rows "
        "than there are"
    )


def _check_classes(train: TrueLabels, *, name: str) -> None:
    """Refuse training rows that lack a class."""
    classes = train.classes
    counts = torch.bincount(train.labels, minlength=len(classes))
    empty = [classes[number] for number in (counts == 0).nonzero().flatten().tolist()]
    if empty:
        raise ValueError(
            f"{name}: of {len(classes)} classes, {len(empty)} have no row among the {len(train.labels)} to train on "
            f"({', '.join(empty[:5])}{', ...' if len(empty) > 5 else ''}); raise train_rows, lower holdout, "
            "or remove the classes"
        )
