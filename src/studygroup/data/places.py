"""The places that data come from; each function opens one kind of place."""

import functools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import torch

from studygroup.data.arrays import saved_columns
from studygroup.data.columns import is_image, is_number
from studygroup.data.folders import (
    class_folders,
    data_files,
    picture_endings,
    pictures_by_class,
    warn_of_folders_beside,
    warn_of_tables_beside,
    warn_of_unlabelled,
    with_ending,
)
from studygroup.data.labels import TEST_NAMES
from studygroup.data.official import (
    STL10_FILE,
    STL10_FOLDER,
    imagenet32_files,
    official_cifar,
    official_imagenet32,
    official_stl10,
)
from studygroup.data.own import is_own, own_source
from studygroup.data.source import Size, Source, cut_test, from_pixels, from_tables
from studygroup.data.sums import checked_tables
from studygroup.data.text.source import from_csv, from_text_tables, holds_texts
from studygroup.untrusted import check_file, check_tree

_SPLIT_FOLDERS = frozenset({"train", "training", "testing", *TEST_NAMES})
_SPLIT_FILE = re.compile(rf"(train|{'|'.join(TEST_NAMES)})(-\d+-of-\d+)?", re.IGNORECASE)


class UnavailableError(ValueError):
    """A data set cannot be opened: no such folder, not available from the hub, or its files are no tables."""


def names_folder(spec: str | Path) -> bool:
    """Tell whether a name can only be a folder: names on the hub are `NAME` and `OWNER/NAME`."""
    folder = Path(spec).expanduser()
    return folder.is_absolute() or str(spec).startswith((".", "~")) or len(folder.parts) > 2


def open_source(spec: str | Path, *, image_size: Size, options: Mapping[str, Any] | None = None) -> Source:
    """Open the data set that `spec` names; see `studygroup.data.load` for the rules.

    Raises:
        ValueError: nothing of that name exists, it cannot be read, or `options` for what is no data set of one's own.
    """
    folder = Path(spec).expanduser()
    if is_own(spec):
        return own_source(str(spec), options or {}, image_size=image_size)
    if options:
        raise ValueError(
            f"options {', '.join(options)} are given for {spec}, and only a data set of one's own takes some; leave "
            "them out, or give the import path of its class"
        )
    if spec == "digits":
        return digits(image_size=image_size)
    if not folder.exists():
        if names_folder(spec):
            raise UnavailableError(
                f"there is no folder {folder}; check the path, or give a name on the Hugging Face hub"
            )
        return _opened(str(spec), _tables(str(spec)), image_size=image_size)
    check_tree(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file; give the folder that holds it")
    if any((folder / name).is_dir() for name in ("cifar-10-batches-py", "cifar-100-python")):
        return official_cifar(folder, image_size=image_size)
    for place in (folder, folder / STL10_FOLDER):
        if (place / STL10_FILE).is_file():
            return official_stl10(place, image_size=image_size)
    batches, validation = imagenet32_files(folder)
    if batches:
        return official_imagenet32(batches, validation, image_size=image_size)
    files = list(data_files(folder))
    tables = with_ending(files, ".parquet")
    if tables:
        return parquet_folder(folder, tables, image_size=image_size)
    texts = with_ending(files, ".csv", ".tsv")
    if texts and not with_ending(files, *picture_endings()):
        _check_no_size(folder.name, image_size)
        return from_csv(folder, _by_split(folder, texts))
    return image_folder(folder, image_size=image_size)


def digits(*, image_size: Size) -> Source:
    """Open scikit-learn's 1797 handwritten digits, 8 x 8 grey, scaled from 0..16 to 0..255."""
    from sklearn.datasets import load_digits  # two seconds that no other data need

    bunch = load_digits()
    images = torch.from_numpy(np.rint(bunch.images * (255 / 16)).astype(np.uint8)).unsqueeze(1)
    train, test = cut_test(from_pixels(images, bunch.target.tolist(), image_size=image_size))
    return Source("digits", tuple(str(name) for name in bunch.target_names), train, test)


def image_folder(folder: Path, *, image_size: Size) -> Source:
    """Open a folder of images by class: one subfolder per class, optionally under `train` and `test`.

    Every file with an ending that Pillow decodes is read; others are counted in a `LeftOutWarning`, as are hidden
    folders and pictures that belong to no class or split. Classes are numbered in the sorted order of the training
    split's names; those of the test rows are matched by name.

    The files are not listed by `datasets`, which would take a file called `test_1.png` for a row of the test split.

    Raises:
        ValueError: no class folders, a class without images, a split folder under another name, or a class that is in
            the test rows alone.
    """
    root = folder / "train" if (folder / "train").is_dir() else folder
    _check_no_split(folder, class_folders(root))
    found = {"train": pictures_by_class(root)}
    empty = [name for name, paths in found["train"].items() if not paths]
    if empty or not found["train"]:
        what = f"no image in {', '.join(map(repr, empty[:5]))}" if empty else "no folder of a class"
        raise ValueError(
            f"{root} holds neither Parquet files nor images by class ({what}); lay it out as CLASS/IMAGE or "
            f"train/CLASS/IMAGE and remove classes without images{_instead(folder)}"
        )
    if root != folder:
        warn_of_folders_beside(folder, ("train", *TEST_NAMES))
    classes = list(found["train"])
    tests = [folder / name for name in TEST_NAMES if root != folder and (folder / name).is_dir()]
    unlabelled = [test for test in tests if not class_folders(test)]
    warn_of_unlabelled(folder, unlabelled)
    for test in [test for test in tests if test not in unlabelled][:1]:
        found["test"] = pictures_by_class(test)
        unknown = [name for name, paths in found["test"].items() if paths and name not in classes]
        if unknown:
            raise ValueError(
                f"{root} and {test} differ in the classes {sorted(set(classes) ^ set(found['test']))}: "
                f"{', '.join(map(repr, unknown[:5]))} has no training rows; give both the same sub-folders"
            )
    import datasets  # seconds that data without tables do without

    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=classes))
    tables = {}
    for split, by_class in found.items():
        rows = [(path, name) for name, paths in by_class.items() for path in paths]
        columns = {"image": [path for path, _ in rows], "label": [name for _, name in rows]}
        tables[split] = datasets.Dataset.from_dict(columns, features=features)
    return from_tables(folder.name, tables, image_size=image_size)


def _check_no_split(folder: Path, classes: Sequence[str]) -> None:
    """Refuse classes that are called like a split: their pictures would be told apart by it."""
    splits = [name for name in classes if name.lower() in _SPLIT_FOLDERS]
    if splits:
        raise ValueError(
            f"{folder}: the folders {', '.join(map(repr, splits))} would be classes; call those of splits 'train' "
            "and 'test', or rename the classes"
        )


def _instead(folder: Path) -> str:
    """Describe what a folder without images and tables holds, for the end of a message."""
    endings = Counter(path.suffix.lower() or "no ending" for path in data_files(folder))
    listed = ", ".join(f"{count} of {ending}" for ending, count in endings.most_common(5))
    return f" (it holds {listed}; tables are read from Parquet, CSV and TSV files)" if listed else ""


def parquet_folder(folder: Path, files: Sequence[Path], *, image_size: Size) -> Source:
    """Open Parquet files that are named after their split, or lie in folders named so.

    Examples are `train.parquet`, `train-00000-of-00001.parquet` and `train/0000.parquet`; a single file of any
    name is the training split.

    Raises:
        ValueError: a file is damaged, or none belongs to a training split.
    """
    found = _by_split(folder, files)
    # one by one: loaded together, all splits need the same columns, but only training rows have human labels
    tables = {
        split: _tables("parquet", data_files={split: some}, split=split) for split, some in found.items()
    }
    return _opened(folder.name, tables, image_size=image_size)


def _opened(name: str, tables: Mapping[str, Any], *, image_size: Size) -> Source:
    """Open tables of images, or of texts if they contain no images."""
    if not holds_texts(tables):
        _check_embedded(name, tables)
        return from_tables(name, tables, image_size=image_size)
    _check_no_size(name, image_size)
    return from_text_tables(name, tables)


def _check_embedded(name: str, tables: Mapping[str, Any]) -> None:
    """Refuse pictures that are paths: a table would choose which files of this machine are read."""
    for table in tables.values():
        for column in (key for key, feature in table.features.items() if is_image(feature)):
            for chunk in table.data.column(column).chunks:
                bare = (
                    chunk.filter(chunk.field("bytes").is_null())
                    if chunk.field("bytes").null_count
                    else chunk[:0]
                )
                if len(bare) and bare.field("path").null_count < len(bare):
                    raise ValueError(
                        f"{name}: pictures of column {column!r} are paths of other files, which are not followed; "
                        "store the pictures themselves, or give a folder of pictures by class"
                    )


def _check_no_size(name: str, image_size: Size) -> None:
    """Refuse a size for texts, which are not scaled."""
    if image_size:
        raise ValueError(f"image_size is {image_size} and {name} holds texts; leave it out")


def _by_split(folder: Path, files: Sequence[Path]) -> dict[str, list[str]]:
    """Return the files by the split that they belong to; see `parquet_folder`.

    Raises:
        ValueError: no training split, or one without rows or in several folders, which may be copies.
    """
    found: dict[str, list[str]] = {}
    rows: Counter[str] = Counter()
    for file in files:
        matches = (_SPLIT_FILE.fullmatch(name) for name in (file.stem, file.parent.name))
        split = next((match[1].lower() for match in matches if match), "train" if len(files) == 1 else "")
        found.setdefault(split, []).append(str(file))
        rows[split] += _rows(file) if file.suffix.lower() == ".parquet" else 1
    for split in found:
        if not rows[split]:
            raise ValueError(
                f"{', '.join(found[split][:3])} has no rows; give a file with rows, or remove it"
            )
    if "train" not in found:
        listed = ", ".join(str(file.relative_to(folder)) for file in files)
        raise ValueError(
            f"{folder} has no training split among {listed}; call its file train{files[0].suffix}"
        )
    for split, own in found.items():
        places = {Path(file).parent for file in own}
        if split and len(places) > 1:
            listed = ", ".join(sorted(str(place.relative_to(folder)) for place in places))
            raise ValueError(
                f"{folder} has files of the split {split!r} in several folders ({listed}), which may be copies of "
                "each other; give the folder that holds those to be read, or bring them into one"
            )
    warn_of_tables_beside(folder, found.pop("", []))
    return found


def number_columns(spec: str) -> Any:
    """Return the columns of numbers of a table's training rows, as a `datasets.Dataset`.

    Args:
        spec: a Parquet or CSV file, a file of arrays by `torch.save` (`.pt`, `.pth`), a folder of Parquet files as
            for `parquet_folder`, or a name on the hub.

    Raises:
        ValueError: nothing of that name exists, or it cannot be read.
    """
    path = Path(spec).expanduser()
    check_file(path)
    if path.is_dir():
        check_tree(path)
        files = _by_split(path, with_ending(data_files(path), ".parquet"))["train"]
    elif path.is_file():
        files = [str(path)]
    elif names_folder(spec):
        raise UnavailableError(f"there is no file or folder {path}; check the path")
    else:
        table = _tables(spec, split="train")
        return table.select_columns([k for k, v in table.features.items() if is_number(v)])
    import datasets

    try:
        return datasets.Dataset(pyarrow.concat_tables([_numbers(file) for file in files]))
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{spec} is not a whole table ({error}); copy it again") from error


def _numbers(file: str) -> Any:
    """Return the columns of numbers of one file; pictures next to them are not read."""
    ending = Path(file).suffix.lower()
    if ending in (".pt", ".pth"):
        return pyarrow.table(saved_columns(Path(file)))
    if ending not in (".csv", ".parquet"):
        raise ValueError(
            f"{file} ends in {ending!r}; give a Parquet or CSV file, or arrays saved by torch (.pt)"
        )
    if ending == ".csv":
        table = pyarrow.csv.read_csv(file)
        return table.select([field.name for field in table.schema if _is_number(field.type)])
    schema = pyarrow.parquet.read_schema(file)
    names = [field.name for field in schema if _is_number(field.type)]
    return pyarrow.parquet.read_table(file, columns=names)


def _rows(file: Path) -> int:
    """Return the number of rows of a Parquet file, as its footer says."""
    try:
        with pyarrow.parquet.ParquetFile(file) as opened:
            return int(opened.metadata.num_rows)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{file} is not a whole Parquet file ({error}); copy it again") from error


def _is_number(kind: Any) -> bool:
    return bool(pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind))


def _tables(name: str, **options: Any) -> Any:
    """Call `datasets.load_dataset`, check what it cached, and raise its errors as `UnavailableError`."""
    import datasets
    from datasets.exceptions import DatasetsError

    try:
        return checked_tables(functools.partial(datasets.load_dataset, name, **options))
    except (DatasetsError, pyarrow.ArrowException, OSError, ValueError) as error:
        files = options.get("data_files")
        first: BaseException = error
        while files and first.__cause__ is not None:
            first = first.__cause__  # what the library says of it is that something went wrong
        line = str(first).partition("\n")[0]
        reason = f"{type(first).__name__}: {line}"
        if files:
            listed = ", ".join(file for some in files.values() for file in some[:3])
            raise UnavailableError(f"{listed} cannot be read ({reason}); copy it again") from error
        raise UnavailableError(
            f"cannot load {name!r} ({reason}); if it is a folder, check its path; if it is a name on the Hugging "
            "Face hub, check the spelling and the connection"
        ) from error
