"""Data sets in their authors' own file formats: CIFAR, STL-10, ImageNet32."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from studygroup.data.arrays import array
from studygroup.data.raw import PixelFile, RawSplit
from studygroup.data.source import Size, Source, from_pixels
from studygroup.data.splits import MemorySplit

STL10_FOLDER, STL10_FILE = "stl10_binary", "train_X.bin"
IMAGENET_BATCHES = 10
_IMAGENET_CLASSES = 1000
_STL10_SHAPE, _IMAGENET_SHAPE = (3, 96, 96), (3, 32, 32)


def official_cifar(folder: Path, *, image_size: Size) -> Source:
    """Open CIFAR-10 or CIFAR-100 in its official files, checked by torchvision's sums and unpickled as arrays alone.

    Raises:
        ValueError: a file is missing or its MD5 sum is wrong.
    """
    import torchvision.datasets  # seconds that other data do without
    from torchvision.datasets.utils import check_integrity

    hundred = (folder / "cifar-100-python").is_dir()
    read = torchvision.datasets.CIFAR100 if hundred else torchvision.datasets.CIFAR10
    place = folder / read.base_folder
    meta = (read.meta["filename"], read.meta["md5"])
    if not all(
        check_integrity(str(place / name), md5) for name, md5 in (*read.train_list, *read.test_list, meta)
    ):
        raise ValueError(
            f"{place} is not the official release: a file is missing or damaged; unpack the archive again"
        )
    train, test = (
        _cifar_split(
            [place / name for name, _ in files], "fine_labels" if hundred else "labels", image_size=image_size
        )
        for files in (read.train_list, read.test_list)
    )
    classes = tuple(map(str, array(place / meta[0], read.meta["key"])))
    return Source("cifar100" if hundred else "cifar10", classes, train, test)


def _cifar_split(files: Sequence[Path], labels: str, *, image_size: Size) -> MemorySplit:
    """Return the pictures of some files: (rows, 3072), channel by channel, row by row."""
    pixels = np.concatenate([array(file, "data") for file in files]).reshape(-1, *_IMAGENET_SHAPE)
    numbers = [number for file in files for number in array(file, labels).tolist()]
    return from_pixels(torch.from_numpy(pixels), numbers, image_size=image_size)


def official_stl10(folder: Path, *, image_size: Size) -> Source:
    """Open STL-10's binary files: the labelled pictures; unlabelled ones and folds are ignored.

    torchvision would require the 2.6 GB of unlabelled pictures too, and compute their checksum at every start.

    Args:
        folder: the one that holds `train_X.bin`, `train_y.bin`, `test_X.bin`, `test_y.bin` and `class_names.txt`, of
            pictures stored channel by channel, column by column, and labels from 1.
        image_size: height and width to scale to; None leaves 96 x 96.

    Raises:
        ValueError: a file is missing or its size is wrong.
    """
    try:
        classes = tuple((folder / "class_names.txt").read_text().split())
        files = [_stl10_file(folder, split, len(classes)) for split in ("train", "test")]
    except OSError as error:
        raise ValueError(
            f"{folder} is not the whole of STL-10 ({error}); unpack the archive again"
        ) from error
    train, test = (_split([file], shape=_STL10_SHAPE, image_size=image_size) for file in files)
    return Source("stl10", classes, train, test)


def _stl10_file(folder: Path, split: str, classes: int) -> PixelFile:
    """Return the pictures of one split."""
    labels = _from_one(np.fromfile(folder / f"{split}_y.bin", np.uint8), classes, folder / f"{split}_y.bin")
    file, shape = folder / f"{split}_X.bin", (len(labels), *_STL10_SHAPE)
    if file.stat().st_size != int(np.prod(shape)):
        raise ValueError(
            f"{file} has {file.stat().st_size} bytes, and {len(labels)} pictures of {split}_y.bin need "
            f"{int(np.prod(shape))}; unpack the archive again"
        )
    return PixelFile(labels, lambda: np.memmap(file, np.uint8, "r", shape=shape).transpose(0, 1, 3, 2))


def imagenet32_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the batch files of ImageNet32 in a folder or its subfolders: of training, in order, and of validation.

    The official archives hold either `train_data_batch_1.npz` to 10 and `val_data.npz`, or pickles of those names
    without the ending. If a folder has both, the archives are used.
    """

    def named(name: str) -> list[Path]:
        found = (
            path for end in (".npz", "") for depth in ("", "*/") for path in folder.glob(depth + name + end)
        )
        return [path for path in found if path.is_file()][:1]

    numbers = range(1, IMAGENET_BATCHES + 1)
    return [path for i in numbers for path in named(f"train_data_batch_{i}")], named("val_data")


def official_imagenet32(train: Sequence[Path], test: Sequence[Path], *, image_size: Size) -> Source:
    """Open ImageNet at 32 x 32 pixels (Chrabaszcz et al. 2017); the validation pictures serve as test set.

    Classes are named by their official numbers, 1 to 1000. The 3.9 GB are never in memory twice: files are read
    one after another, when their rows are needed.

    Args:
        train: the batch files of training.
        test: the file of validation.
        image_size: height and width to scale to; None leaves 32 x 32.

    Raises:
        ValueError: a file is missing, damaged or of another kind.
    """
    if len(train) != IMAGENET_BATCHES or not test:
        raise ValueError(
            f"{train[0].parent} is not the whole of ImageNet32: it has {len(train)} of {IMAGENET_BATCHES} files "
            f"train_data_batch_1 to {IMAGENET_BATCHES} and {'a' if test else 'no'} file val_data; unpack the "
            "archives again, that of the validation pictures too"
        )
    splits = [
        _split([_imagenet_file(path) for path in paths], shape=_IMAGENET_SHAPE, image_size=image_size)
        for paths in (train, test)
    ]
    return Source("imagenet32", tuple(str(i + 1) for i in range(_IMAGENET_CLASSES)), *splits)


def _imagenet_file(path: Path) -> PixelFile:
    """Open one batch file: `data` (rows, 3072), channel by channel, row by row, and `labels` from 1."""
    labels = _from_one(array(path, "labels"), _IMAGENET_CLASSES, path)

    def read() -> UInt8[np.ndarray, "rows channels height width"]:
        pixels, wanted = array(path, "data"), (len(labels), int(np.prod(_IMAGENET_SHAPE)))
        if pixels.dtype != np.uint8 or pixels.shape != wanted:
            raise ValueError(
                f"{path}: the pictures are {pixels.dtype} of shape {pixels.shape}, not uint8 of shape {wanted}; take "
                "the archive of 32 x 32 pixels"
            )
        return pixels.reshape(-1, *_IMAGENET_SHAPE)

    return PixelFile(labels, read)


def _from_one(labels: np.ndarray, classes: int, path: Path) -> Int64[Tensor, "rows"]:
    """Convert labels counted from 1 to labels counted from 0."""
    whole = labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer) and len(labels)
    if not whole or labels.min() < 1 or labels.max() > classes:
        said = f"{labels.min()} to {labels.max()}" if labels.size else "none"
        raise ValueError(
            f"{path}: the labels are {said} ({labels.dtype}), not class numbers from 1 to {classes}; unpack the "
            "archive again"
        )
    return torch.from_numpy(labels.astype(np.int64) - 1)


def _split(files: Sequence[PixelFile], *, shape: tuple[int, int, int], image_size: Size) -> RawSplit:
    """Return a split of all rows of the files."""
    rows = torch.arange(sum(len(file.labels) for file in files))
    return RawSplit(files, shape=(shape[0], *(image_size or shape[1:])), rows=rows)
