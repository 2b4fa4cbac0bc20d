"""Files of unknown origin: read only where they are plain files of bounded size, inside the folder that was given.

A pipe would be waited for without end, a device read without end, and a link would lead to files that nobody meant to
read or to write.
"""

import json
import os
import re
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studygroup.trust import NotAllowedError, allows_place, is_inside

LONGEST = 64 * 2**20
"""Bytes that are read of a file of text at most."""

# controls but tab and line feed, marks of writing direction, line separators, lone surrogates
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff]"
)


def printable(text: str, *, lines: bool = True) -> str:
    """Write out a text's control characters, so that it moves no terminal; `lines` leaves line feeds and tabs."""
    shown = _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)
    return shown if lines else shown.replace("\n", "\\n").replace("\t", "\\t")


def in_markdown(text: str) -> str:
    """Return a text, as one line, that brings no tags, no code and no links behind other words into Markdown."""
    shown = printable(text, lines=False).replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"`|\](?=[(\[:])", r"\\\g<0>", shown)


def check_file(path: Path, *, folder: Path | None = None, most: int | None = None) -> None:
    """Refuse what is no plain file; a missing file is left to whoever opens it.

    Args:
        path: the file.
        folder: the file must lie in it, links followed.
        most: bytes that it may have.

    Raises:
        NotAllowedError: a pipe, a device, a socket or a link out of the folder.
        ValueError: the file is larger.
    """
    try:
        found = os.stat(path)
    except OSError:
        return
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise _special(str(path))
    if folder is not None:
        _check_target(str(path), os.path.realpath(folder))
    if most is not None and found.st_size > most:
        raise ValueError(
            f"{path} has {found.st_size:,} bytes, more than the {most:,} that such a file may have"
        )


def check_unpacked(path: Path) -> None:
    """Refuse a file that unpacks to more than it has, as `torch.save` writes none.

    Raises:
        ValueError: it does.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(one.file_size for one in archive.infolist()) > path.stat().st_size:
                raise ValueError("it is packed, as torch writes no file")


def check_loaded(content: Any, path: Path) -> None:
    """Refuse what `torch.load` read where it stands for more than the file holds.

    A pickle names a value again without writing it again, and a tensor may repeat one number as often as it likes.

    Raises:
        ValueError: what it stands for, all repetitions counted, is larger than the file, or nested in itself.
    """
    import torch

    most = path.stat().st_size
    left, seen = [content], 0
    while left:
        value = left.pop()
        seen += 1
        if seen > min(most, _MOST):
            raise ValueError("it stands for more values than it holds, or for itself")
        if isinstance(value, Mapping):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            left += value
        elif isinstance(value, torch.Tensor) and (
            value.layout != torch.strided or value.numel() * value.element_size() > most
        ):
            raise ValueError(
                f"a tensor of shape {tuple(value.shape)} is larger than the file of {most:,} bytes"
            )


_MOST = 10**7


def check_tree(folder: Path) -> None:
    """Refuse a folder that holds a pipe, a device, a socket, or a link to a folder or out of the folder.

    Links to plain files of the same folder are fine, and so are those of a snapshot in the cache of the Hugging Face
    hub. The folder itself may be reached by a link.

    Raises:
        NotAllowedError: it holds one of these; names it.
    """
    root = os.path.realpath(folder)
    left = [root]
    while left:
        try:
            with os.scandir(left.pop()) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        _check_target(entry.path, root, folders=False)
                    elif entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)
                    elif not entry.is_file(follow_symlinks=False):
                        raise _special(entry.path)
        except (FileNotFoundError, NotADirectoryError):  # another process removes its temporary files
            continue


def _check_target(path: str, root: str, *, folders: bool = True) -> None:
    """Refuse a path that leads out of a folder, to something special or, unless allowed, to a folder."""
    target = os.path.realpath(path)
    if allows_place(target):
        return
    try:
        mode = os.stat(target).st_mode
    except OSError:
        mode = stat.S_IFREG  # it leads to nothing
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise _special(path)
    if not is_inside(target, root) and not is_inside(target, _blobs(root)):
        raise NotAllowedError(
            f"{path} is a link out of the folder, to {target}: whoever made the folder chose what is read and "
            f"written there. Look at it first, then put files in its place, or give --allow {os.path.dirname(target)}"
        )
    if stat.S_ISDIR(mode) and not folders:
        raise NotAllowedError(
            f"{path} is a link to the folder {target}, which would be read twice or without end; remove the link"
        )


def _blobs(root: str) -> str:
    """Return where the files of a snapshot in the hub's cache lie; for any other folder, itself."""
    above = Path(root).parent
    return str(above.parent / "blobs") if above.name == "snapshots" else root


def _special(path: str) -> NotAllowedError:
    return NotAllowedError(
        f"{path} is a pipe, a device or a socket, not a file, and is not opened; remove it, or put a file in its "
        "place"
    )


def read_text(path: Path, *, folder: Path | None = None, most: int = LONGEST) -> str:
    """Read a text in UTF-8 from a plain file, see `check_file`."""
    check_file(path, folder=folder, most=most)
    return path.read_text(encoding="utf-8")


def parse_json(text: str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: it is damaged, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
