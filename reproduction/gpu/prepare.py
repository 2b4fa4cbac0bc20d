"""Pack, where data and packages are, what a run needs on a machine that has nothing but Python and torch."""

import shutil
from importlib.metadata import PackagePath, distribution
from pathlib import Path

import torch

from reproduction.gpu.pictures import SPLITS, Pictures, save

DATA, PACKAGES = "pictures.pt", "packages"
_PACKAGES = ("jaxtyping", "wadler_lindig")  # of Python alone: they serve every version that they name


def prepare(data: Path, folder: Path, *, holdout: int, seed: int) -> list[Path]:
    """Write the data file and the folder of packages.

    Args:
        data: a data set of pictures as `studygroup.data.load` takes it; its pixels are rounded to 5 bits.
        folder: where both go.
        holdout: training rows that are held out, each class in proportion.
        seed: of the hold-out rows.

    Returns:
        Both paths.
    """
    torch.set_num_threads(1)  # many small operations: threads would only wait for each other
    save(read(data, holdout=holdout, seed=seed), folder / DATA)
    copy_packages(folder / PACKAGES)
    return [folder / DATA, folder / PACKAGES]


def read(data: Path, *, holdout: int, seed: int) -> Pictures:
    """Read a data set, split as every run of the library splits it.

    Raises:
        ValueError: rows that are no pictures of three channels.
    """
    from studygroup.data import load  # needs studygroup[train], which is not where runs are

    found = load(data, holdout=holdout, seed=seed)
    images, labels = {}, {}
    for split in SPLITS:
        rows = getattr(found, split)
        pixels, labels[split] = rows[torch.arange(len(rows))]
        if not isinstance(pixels, torch.Tensor) or pixels.shape[1] != 3:
            raise ValueError(f"{found.name} holds no pictures of three channels; give another data set")
        images[split] = pixels & 0xF8 | 4
    return Pictures(images, labels, len(found.classes), found.name)


def copy_packages(folder: Path) -> None:
    """Copy what the library's core imports besides torch, for PYTHONPATH."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in _PACKAGES:
        found = distribution(name)
        files: list[PackagePath] = [
            file for file in found.files or [] if file.suffix in (".py", "", ".typed")
        ]
        for file in files:
            if file.parts[0] == ".." or "__pycache__" in file.parts:
                continue
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found.locate_file(file), target)  # type: ignore[arg-type]
