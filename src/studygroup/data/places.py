"""The places that data come from; each function opens one kind."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import torch
import torchvision.datasets
from datasets.exceptions import DatasetsError
from sklearn.datasets import load_digits

from studygroup.data.source import TEST_NAMES, Size, Source, cut_test, from_pixels, from_tables

_SPLIT_FILE = re.compile(rf"(train|{'|'.join(TEST_NAMES)})(-\d+-of-\d+)?")


def open_source(spec: str | Path, *, image_size: Size) -> Source:
    """Opens what `spec` names; see `studygroup.data.load` for the rules.

    Raises:
        ValueError: nothing of that name is there, or it cannot be read.
    """
    folder = Path(spec).expanduser()
    if spec == "digits":
        return digits(image_size=image_size)
    if not folder.exists():
        if folder.is_absolute() or str(spec).startswith((".", "~")) or len(folder.parts) > 2:
            raise ValueError(
                f"there is no folder {folder}; check the path, or give a name on the Hugging Face hub"
            )
        return hub(str(spec), image_size=image_size)
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file; give the folder that holds it")
    if any((folder / name).is_dir() for name in ("cifar-10-batches-py", "cifar-100-python")):
        return official_cifar(folder, image_size=image_size)
    files = sorted(folder.rglob("*.parquet"))
    if files:
        return parquet_folder(folder, files, image_size=image_size)
    return image_folder(folder, image_size=image_size)


def digits(*, image_size: Size) -> Source:
    """scikit-learn's 1797 handwritten digits, 8 x 8 grey, scaled from 0..16 to 0..255."""
    bunch = load_digits()
    images = torch.from_numpy(np.rint(bunch.images * (255 / 16)).astype(np.uint8)).unsqueeze(1)
    train, test = cut_test(from_pixels(images, bunch.target.tolist(), image_size=image_size))
    return Source("digits", tuple(str(name) for name in bunch.target_names), train, test)


def official_cifar(folder: Path, *, image_size: Size) -> Source:
    """CIFAR-10 or CIFAR-100 as its authors publish it, read and checked by torchvision.

    Raises:
        ValueError: a file is missing or its MD5 sum is wrong.
    """
    hundred = (folder / "cifar-100-python").is_dir()
    read = torchvision.datasets.CIFAR100 if hundred else torchvision.datasets.CIFAR10
    try:
        parts = [read(str(folder), train=train, download=False) for train in (True, False)]
    except RuntimeError as error:
        raise ValueError(
            f"{folder / read.base_folder} is not the official release: a file is missing or damaged; unpack "
            "the archive again"
        ) from error
    train, test = (
        from_pixels(torch.from_numpy(part.data).permute(0, 3, 1, 2), part.targets, image_size=image_size)
        for part in parts
    )
    return Source("cifar100" if hundred else "cifar10", tuple(parts[0].classes), train, test)


def image_folder(folder: Path, *, image_size: Size) -> Source:
    """A folder of images by class: one sub-folder per class, optionally under `train` and `test`.

    torchvision lists the files: `datasets` would take a file called `test_1.png` for a row of the test split.

    Raises:
        ValueError: no class folders, a class without images, or train and test with different classes.
    """
    root = folder / "train" if (folder / "train").is_dir() else folder
    tests = [folder / name for name in TEST_NAMES if root != folder and (folder / name).is_dir()]
    try:
        parts = {"train": torchvision.datasets.ImageFolder(str(root))}
        if tests:
            parts["test"] = torchvision.datasets.ImageFolder(str(tests[0]), allow_empty=True)
    except FileNotFoundError as error:
        raise ValueError(
            f"{folder} holds neither Parquet files nor images by class ({error}); lay it out as CLASS/IMAGE "
            "or train/CLASS/IMAGE and remove classes without images"
        ) from error
    classes = parts["train"].classes
    if tests and parts["test"].classes != classes:
        differ = sorted(set(classes) ^ set(parts["test"].classes))
        raise ValueError(
            f"{root} and {tests[0]} differ in the classes {differ}; give both the same sub-folders"
        )
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=classes))
    tables = {
        name: datasets.Dataset.from_dict(
            {"image": [path for path, _ in part.samples], "label": part.targets}, features=features
        )
        for name, part in parts.items()
    }
    return from_tables(folder.name, tables, image_size=image_size)


def parquet_folder(folder: Path, files: Sequence[Path], *, image_size: Size) -> Source:
    """Parquet files called after their split, or in folders called so.

    Such as `train.parquet`, `train-00000-of-00001.parquet` and `train/0000.parquet`; a single file of any
    name is the training split.

    Raises:
        ValueError: a file is damaged, or none belongs to a training split.
    """
    found: dict[str, list[str]] = {}
    for file in files:
        try:
            pyarrow.parquet.ParquetFile(file).close()
        except (pyarrow.ArrowException, OSError) as error:
            raise ValueError(f"{file} is not a whole Parquet file ({error}); copy it again") from error
        matches = (_SPLIT_FILE.fullmatch(name) for name in (file.stem, file.parent.name))
        split = next((match[1] for match in matches if match), "train" if len(files) == 1 else "")
        found.setdefault(split, []).append(str(file))
    if "train" not in found:
        listed = ", ".join(str(file.relative_to(folder)) for file in files)
        raise ValueError(f"{folder} has no training split among {listed}; call its file train.parquet")
    found.pop("", None)
    return from_tables(folder.name, _tables("parquet", data_files=found), image_size=image_size)


def hub(name: str, *, image_size: Size) -> Source:
    """A data set of the Hugging Face hub, from the local cache where it is there.

    Raises:
        ValueError: it is unknown, or cannot be reached or read.
    """
    return from_tables(name, _tables(name), image_size=image_size)


def _tables(name: str, **options: Any) -> Any:
    """`datasets.load_dataset`, its errors told in one way."""
    try:
        return datasets.load_dataset(name, **options)
    except (DatasetsError, pyarrow.ArrowException, OSError, ValueError) as error:
        what, reason = options.get("data_files", f"{name!r}"), str(error).partition("\n")[0]
        raise ValueError(
            f"cannot load {what} ({type(error).__name__}: {reason}); if it is a folder, "
            "check its path; if it is a name on the Hugging Face hub, check the spelling and the connection"
        ) from error
