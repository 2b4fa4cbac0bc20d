"""Folders that are either complete or absent, as files are."""

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from studygroup.files import WRITING, not_written

CARD, CONFIGURATION = "README.md", "config.json"


def write_folder(folder: Path, write: Callable[[Path], Any]) -> None:
    """Write a folder, complete or absent, by filling an empty one beside it; replace one that was written so before.

    Raises:
        ValueError: the destination holds something else.
        OSError: it could not be written; names the folder and the reason.
    """
    if folder.exists() and not _is_ours(folder):
        raise ValueError(
            f"{folder} is there and is not a folder that was exported; give another, or remove it first"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=WRITING, ignore_cleanup_errors=True) as within:
            new = Path(within) / folder.name
            new.mkdir()
            write(new)
            if folder.exists():
                shutil.move(folder, Path(within) / "before")
            new.replace(folder)
    except OSError as error:
        raise not_written(folder, error) from error


def _is_ours(folder: Path) -> bool:
    """Tell whether a folder is empty, or is one that was exported, without anything hidden such as `.git`."""
    names = {one.name for one in folder.iterdir()} if folder.is_dir() else {""}
    exported = {CARD, CONFIGURATION} <= names and not any(name.startswith(".") for name in names)
    return not names or (exported and _TAG in (folder / CARD).read_text(encoding="utf-8", errors="replace"))


_TAG = "- studygroup"
