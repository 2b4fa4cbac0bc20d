"""Data sets of one's own, by the import path of a class or function, such as `torchvision.datasets.CIFAR10`."""

from collections.abc import Mapping, Sequence
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from jaxtyping import UInt8
from torch import Tensor

from studygroup.data.images import ONE_SIZE, is_grey, pixels, resize
from studygroup.data.source import Size, Source
from studygroup.data.splits import MemorySplit
from studygroup.data.text.source import from_text_tables
from studygroup.importing import call_own, is_import_path, own_factory, taken

_TEST_NAMES = ("test", "val", "valid", "validation")


def is_own(spec: str | Path) -> bool:
    """Tell whether a name is the import path of a data set; a folder of that name takes precedence."""
    return is_import_path(spec) and not Path(spec).exists()


def own_source(spec: str, options: Mapping[str, Any], *, image_size: Size) -> Source:
    """Build a data set of one's own and read it once, into memory.

    It has a length and items `(picture, label)` or `(text, label)` by number. A picture is one of Pillow's, or bytes:
    a uint8 tensor (channels, height, width), or an array (height, width, channels); grey ones may lack the channels.
    Labels are class indices, and names of the classes are its `classes`, if it has them. It is built with
    `split="train"` and `"test"` (or `"val"`, ...), or with `train=True` and `False`, where it takes one of these and
    `options` have it not; else once, and test rows are cut off.

    Raises:
        ValueError: it cannot be imported, refuses its arguments, or its items are of another kind.
    """
    make, name = own_factory(spec, what="data set"), spec.rpartition(".")[2]
    there = [one for one in taken(make) if one not in options]
    what = f"data set {spec!r}"
    if "split" in there:
        train, test = call_own(make, {"split": "train", **options}, what=what), _test_of(make, options, what)
    elif "train" in there:
        train, test = (call_own(make, {"train": one, **options}, what=what) for one in (True, False))
    else:
        train, test = call_own(make, options, what=what), None
    read = {"train": _Read(f"{spec} train", train)}
    if test is not None:
        read["test"] = _Read(f"{spec} test", test)
    classes = _classes(spec, read)
    if len({some.texts for some in read.values()}) > 1:
        raise ValueError(f"{spec} holds texts and pictures; give one kind")
    if read["train"].texts:
        if image_size:
            raise ValueError(f"image_size is {image_size} and {spec} holds texts; leave it out")
        return from_text_tables(name, {split: _table(some, classes) for split, some in read.items()})
    channels = max(len(one) for one in read["train"].inputs)
    splits = [some.split(channels, image_size) for some in read.values()]
    if len({one.shape for one in splits}) > 1:
        raise ValueError(
            f"{spec} has training pictures of {splits[0].shape[1:]} pixels and test pictures of "
            f"{splits[1].shape[1:]}; {ONE_SIZE}"
        )
    return Source(name, classes, splits[0], splits[1] if len(splits) > 1 else None)


def _test_of(make: Any, options: Mapping[str, Any], what: str) -> Any:
    """Return the test rows of a data set that takes `split`, under the first name that it knows.

    Raises:
        ValueError: it knows none.
    """
    errors: list[Exception] = []
    for name in _TEST_NAMES:
        try:
            return call_own(make, {"split": name, **options}, what=what)
        except (ValueError, LookupError, AssertionError, OSError, RuntimeError) as error:
            errors.append(error)
    first = errors[0]
    raise ValueError(
        f"{what} takes `split` and none of {', '.join(map(repr, _TEST_NAMES))} for its test rows; of the first it "
        f"says: {type(first).__name__}: {first}"
    ) from first


class _Read:
    """The items of a data set, each read once: texts, or pictures as bytes (channels, height, width)."""

    def __init__(self, name: str, dataset: Any) -> None:
        self.name, self.classes = name, _names_of(dataset)
        self.inputs: list[Any] = []
        self.labels: list[int] = []
        try:
            rows = range(len(dataset))
        except TypeError as error:
            raise ValueError(f"{name} has no length; give a data set with items by number") from error
        for row in rows:
            item = dataset[row]
            if not isinstance(item, tuple | list) or len(item) < 2:
                raise self._wrong(row, f"is a {type(item).__name__}; give (picture, label) or (text, label)")
            self.inputs.append(self._input(row, item[0]))
            self.labels.append(self._label(row, item[1]))
        if not self.labels:
            raise ValueError(f"{name} has no rows; give a data set with some")
        self.texts = isinstance(self.inputs[0], str)
        mixed = [row for row, one in enumerate(self.inputs) if isinstance(one, str) != self.texts]
        if mixed:
            raise self._wrong(
                mixed[0], "is a text and others are pictures, or the other way round; give one kind"
            )

    def _wrong(self, row: int, said: str) -> ValueError:
        return ValueError(f"{self.name}, row {row} {said}")

    def _input(self, row: int, given: Any) -> str | UInt8[Tensor, "channels height width"]:
        if isinstance(given, str):
            return given
        if isinstance(given, PIL.Image.Image):
            try:
                return pixels(given, channels=1 if is_grey(given) else 3)
            except ValueError as error:
                raise self._wrong(row, f"is a picture that does not fit: {error}") from error
        if isinstance(given, np.ndarray):
            array = torch.from_numpy(np.ascontiguousarray(given))
            given = array.movedim(-1, 0) if array.ndim == 3 else array
        if not isinstance(given, Tensor):
            what = f"is a {type(given).__name__}"
            raise self._wrong(row, f"{what}; give a picture of Pillow, bytes (uint8), or a text")
        picture = given[None] if given.ndim == 2 else given
        if picture.dtype != torch.uint8 or picture.ndim != 3 or len(picture) not in (1, 3):
            raise self._wrong(
                row,
                f"is a picture of {given.dtype} and shape {tuple(given.shape)}; give bytes (uint8, 0 to 255) with 1 "
                "or 3 channels: leave transforms such as ToTensor and Normalize out, as the run itself normalises",
            )
        return picture

    def _label(self, row: int, label: Any) -> int:
        single = isinstance(label, Tensor | np.ndarray) and label.ndim == 0
        try:
            found = index(label.item() if single else label)
        except TypeError as error:
            raise self._wrong(
                row, f"has a {type(label).__name__} as its label; give the index of a class"
            ) from error
        if found < 0 or (self.classes and found >= len(self.classes)):
            reach = f"0 to {len(self.classes) - 1}" if self.classes else "0 on"
            raise self._wrong(row, f"has the label {found}; give the index of a class, {reach}")
        return found

    def split(self, channels: int, size: Size) -> MemorySplit:
        """Return the pictures as a split of 1 or 3 channels; grey pictures are repeated."""
        several: list[Tensor] = []
        for row, one in enumerate(self.inputs):
            if len(one) > channels:
                raise self._wrong(
                    row, "is in colour and the training pictures are grey; convert all to one mode"
                )
            scaled = resize(one, size) if size else one
            if several and scaled.shape[1:] != several[0].shape[1:]:
                high, wide = several[0].shape[1:]
                raise self._wrong(
                    row,
                    f"is a picture of {one.shape[1]} x {one.shape[2]} and that in row 0 is of {high} x {wide}; "
                    f"{ONE_SIZE}",
                )
            several.append(scaled.expand(channels, -1, -1))
        return MemorySplit(torch.stack(several), torch.tensor(self.labels))


def _names_of(dataset: Any) -> tuple[str, ...]:
    """Return the names of the classes, if the data set has them."""
    found = getattr(dataset, "classes", None)
    if isinstance(found, Sequence) and not isinstance(found, str) and found:
        return tuple(map(str, found))
    return ()


def _classes(spec: str, read: Mapping[str, _Read]) -> tuple[str, ...]:
    """Return the classes of all splits, named by their numbers where the data set has no names."""
    named = {some.classes for some in read.values()}
    if len(named) > 1:
        raise ValueError(
            f"{spec} has other classes in its test rows: {sorted(named)!r:.200}; give both the same"
        )
    (names,) = named
    most = max(label for some in read.values() for label in some.labels)
    found = names or tuple(map(str, range(most + 1)))
    twice = [one for one in found if found.count(one) > 1]
    if twice:
        raise ValueError(f"{spec} names two classes {twice[0]!r}; give each class a name of its own")
    return found


def _table(read: _Read, classes: Sequence[str]) -> Any:
    """Return texts as a table."""
    import datasets  # seconds that pictures do without

    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=list(classes))
    )
    return datasets.Dataset.from_dict({"text": read.inputs, "label": read.labels}, features=features)
