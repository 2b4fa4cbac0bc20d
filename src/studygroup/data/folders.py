"""The files of a data folder: what is data, and what systems and tools have left there."""

import os
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import PIL.Image

from studygroup.data.images import FOREIGN_FORMATS

_OPENED_BY_ANOTHER = frozenset({"MPO"})  # as JPEG
_SYSTEM_FOLDERS = frozenset(
    {"__macosx", "__pycache__", "@eadir", "$recycle.bin", "system volume information", "lost+found"}
)
_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
_NAMED = 5  # names or endings in a message
_MOVE = "move what is to be read to train/CLASS or test/CLASS"
_RENAME = "rename those that hold rows, and remove the others"
_CALL = "call what is to be read train, test or val, or with several files of a split train-00000-of-00002 and so on"


class LeftOutWarning(UserWarning):
    """Files in a data folder are not read."""


def picture_endings() -> frozenset[str]:
    """Return the endings of files that the installed Pillow decodes, in lower case, such as `.jfif`."""
    known = PIL.Image.registered_extensions()
    opened = PIL.Image.OPEN.keys() | _OPENED_BY_ANOTHER
    return frozenset(end for end, kind in known.items() if kind in opened and kind not in FOREIGN_FORMATS)


def is_foreign(name: str) -> bool:
    """Tell whether a file or folder of this name is hidden, or belongs to a system or tool."""
    return name.startswith(".") or name.lower() in _SYSTEM_FOLDERS or name.lower() in _SYSTEM_FILES


def data_files(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder in sorted order, except what is hidden or belongs to a system or tool."""
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not is_foreign(name))
        yield from (Path(place) / name for name in sorted(names) if not is_foreign(name))


def with_ending(files: Iterable[Path], *endings: str) -> list[Path]:
    """Return the files that have one of these endings, in upper or lower case."""
    return [path for path in files if path.suffix.lower() in endings]


def class_folders(folder: Path) -> list[str]:
    """Return the names of the sub-folders that stand for classes, sorted."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not is_foreign(entry.name))


def pictures_by_class(folder: Path) -> dict[str, list[str]]:
    """Return the paths of all pictures below each sub-folder, by its name, in sorted order.

    Files of other kinds, hidden folders and pictures that lie beside the sub-folders are left out, with a
    `LeftOutWarning` that counts them.
    """
    endings = picture_endings()
    found: dict[str, list[str]] = {}
    others: Counter[str] = Counter()
    for name in class_folders(folder):
        files = list(data_files(folder / name))
        found[name] = [str(path) for path in files if path.suffix.lower() in endings]
        others.update(
            path.suffix.lower() or "no ending" for path in files if path.suffix.lower() not in endings
        )
    _warn_of_others(folder, others)
    _warn_of_loose(folder, _hidden(folder), "hidden files and folders", _RENAME)
    loose = [path.name for path in sorted(folder.iterdir()) if path.is_file() and _is_picture(path)]
    if found:
        _warn_of_loose(folder, loose, "pictures that lie in no folder of a class", _MOVE)
    return found


def warn_of_folders_beside(folder: Path, splits: Collection[str]) -> None:
    """Say which folders beside those of splits hold pictures that are not read."""
    others = [name for name in class_folders(folder) if name not in splits]
    holding = [name for name in others if any(map(_is_picture, data_files(folder / name)))]
    _warn_of_loose(folder, holding, "folders of pictures beside those of splits", _MOVE)


def warn_of_unlabelled(folder: Path, tests: Sequence[Path]) -> None:
    """Say which folders of test rows have no folder of a class, and so no labels."""
    for test in tests:
        warnings.warn(
            f"{test} is left out: it has no folder of a class, so nothing can be scored on it; another split of "
            f"{folder} takes its place, or a part of the training rows. Lay it out as {test.name}/CLASS/IMAGE",
            LeftOutWarning,
            stacklevel=4,
        )


def warn_of_tables_beside(folder: Path, files: Sequence[str]) -> None:
    """Say which files of tables belong to no split by their names."""
    names = [str(Path(file).relative_to(folder)) for file in files]
    _warn_of_loose(folder, names, "files that belong to no split by their names", _CALL)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in picture_endings() and not is_foreign(path.name)


def _warn_of_loose(folder: Path, names: Sequence[str], what: str, way_out: str) -> None:
    if names:
        warnings.warn(
            f"{folder}: {len(names)} {what} are left out ({', '.join(names[:_NAMED])}"
            f"{', ...' if len(names) > _NAMED else ''}); {way_out}",
            LeftOutWarning,
            stacklevel=5,
        )


def _warn_of_others(folder: Path, others: Counter[str]) -> None:
    if others:
        listed = ", ".join(f"{count} of {end}" for end, count in others.most_common(_NAMED))
        more = " and others" if len(others) > _NAMED else ""
        warnings.warn(
            f"{folder}: {others.total()} files are left out ({listed}{more}), as Pillow reads no pictures of these "
            "endings; convert or rename those that are rows",
            LeftOutWarning,
            stacklevel=5,
        )


def _hidden(folder: Path) -> list[str]:
    """Return the hidden folders and pictures that are left out; single files of systems are left out silently."""
    endings = picture_endings()
    found: list[Path] = []
    for place, folders, names in os.walk(folder, followlinks=True):
        found += [Path(place, name) for name in sorted(folders) if is_foreign(name)]
        found += [
            Path(place, n) for n in sorted(names) if is_foreign(n) and Path(n).suffix.lower() in endings
        ]
        folders[:] = sorted(name for name in folders if not is_foreign(name))
    return [str(path.relative_to(folder)) for path in found]
