"""Pack what a run needs on a machine with nothing but Python and torch, where data and packages are available."""

import shutil
from importlib.metadata import PackagePath, distribution
from pathlib import Path

import torch

from reproduction.gpu.pictures import SPLITS, Pictures, save

DATA, PACKAGES = "pictures.pt", "packages"
_PACKAGES = ("jaxtyping", "wadler_lindig")  # pure Python: they serve every version that they name


def prepare(
    data: Path, folder: Path, *, holdout: int, seed: int, rows: int | None = None, name: str = DATA
) -> list[Path]:
    """Write the data file and the folder of packages.

    Args:
        data: a data set of pictures as `studygroup.data.load` takes it; its pixels are rounded to 5 bits.
        folder: where both go.
        holdout: number of held-out training rows, each class in proportion.
        seed: of the hold-out rows.
        rows: number of training rows, including held-out ones; omitted, all.
        name: of the data file.

    Returns:
        Both paths.
    """
    torch.set_num_threads(1)  # many small operations, which more threads would slow down
    save(read(data, holdout=holdout, seed=seed, rows=rows), folder / name)
    copy_packages(folder / PACKAGES)
    return [folder / name, folder / PACKAGES]


def read(data: Path, *, holdout: int, seed: int, rows: int | None = None) -> Pictures:
    """Read a data set, split as every run of the library splits it.

    Raises:
        ValueError: rows that are not pictures of three channels.
    """
    from studygroup.data import load  # needs studygroup[train], which the machine of the run may lack

    found = load(data, holdout=holdout, seed=seed, train_rows=rows)
    images, labels = {}, {}
    for split in SPLITS:
        part = getattr(found, split)
        pixels, labels[split] = part[torch.arange(len(part))]
        if not isinstance(pixels, torch.Tensor) or pixels.shape[1] != 3:
            raise ValueError(f"{found.name} holds no pictures of three channels; give another data set")
        images[split] = pixels & 0xF8 | 4
    return Pictures(images, labels, len(found.classes), found.name)


def copy_packages(folder: Path) -> None:
    """Copy the packages that the library's core imports apart from torch, for PYTHONPATH."""
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
