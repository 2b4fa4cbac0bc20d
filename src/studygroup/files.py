"""Write files atomically; read JSON files with errors that say what is damaged and what to do."""

import errno
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from studygroup.untrusted import parse_json, read_text

WRITING = ".writing-"
"""Beginning of the name of a temporary folder that a file is written in."""
_OWNED = re.compile(rf"{re.escape(WRITING)}(\d+)-(.+)-[^-]+")
_DAY = 86_400.0


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file atomically: it is complete or absent even if the process is killed.

    A killed process may leave a hidden temporary folder behind, which the next write beside it removes, but readers
    never see a partial file under its final name.

    Args:
        path: the destination; missing parent folders are created.
        write: called with the path of a temporary file, which it must create.

    Raises:
        OSError: it could not be written, as where the disk is full; names the file and the reason.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_interrupted(path.parent)
        # in the destination's folder: renaming is atomic within one file system only
        prefix = f"{WRITING}{os.getpid()}-{socket.gethostname()}-"
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=prefix) as folder:
            temporary = Path(folder) / path.name
            try:
                write(temporary)
            except Exception as error:
                if not isinstance(error, OSError):  # libraries hide why the system refused
                    _try_to_write(temporary)
                raise
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
    except OSError as error:
        raise not_written(path, error) from error


def not_written(path: Path, error: OSError) -> OSError:
    """Return the error that says which file could not be written, why, and what to do.

    Args:
        path: the file, or the folder where it was to be.
        error: as the system raised it.
    """
    reason = error.strerror or str(error)
    way_out = "make room there" if error.errno in _FULL else "make the place writable"
    return OSError(
        error.errno,
        f"{path} could not be written ({reason}): {way_out}, then give the same command again (a training goes on "
        "with --resume)",
    )


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _try_to_write(path: Path) -> None:
    """Raise what the system says to a write beside a file; nothing where there is room."""
    with path.with_name(".room").open("wb") as file:
        file.write(bytes(_ROOM))
        file.flush()
        os.fsync(file.fileno())
    with path.open("ab") as file:  # a limit of one file's size
        file.write(bytes(_ROOM))


_ROOM = 2**20


def _remove_interrupted(folder: Path) -> None:
    """Remove the temporary folders of processes that were killed while they wrote into a folder."""
    for entry in folder.glob(f"{WRITING}*"):
        owner = _OWNED.fullmatch(entry.name)
        if owner and owner[2] == socket.gethostname():
            ended = not is_alive(int(owner[1]))
        else:  # of another machine, whose processes cannot be asked for, or of an earlier version
            try:
                ended = time.time() - entry.stat().st_mtime > _DAY
            except FileNotFoundError:
                continue
        if ended:
            shutil.rmtree(entry, ignore_errors=True)


def is_alive(process: int) -> bool:
    """Return whether the process of this number is running on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    return True


def write_text(path: Path, text: str) -> None:
    """Write text atomically, see `write_atomically`."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically, see `write_atomically`."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def read_json(path: Path, *, way_out: str) -> Any:
    """Return the content of a JSON file; `way_out` says what to do if it is damaged.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged.
    """
    try:
        text = read_text(path, folder=path.parent)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} cannot be read ({error}); {way_out}") from error
    try:
        return parse_json(text)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error}); {way_out}") from error


def read_object(path: Path, *, way_out: str, holds: Sequence[str] = ()) -> dict[str, Any]:
    """Return the content of a JSON file that holds an object with these keys, see `read_json`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged, holds something else, or lacks a key.
    """
    return checked(path, read_json(path, way_out=way_out), way_out=way_out, holds=holds)


def checked(path: Path, content: Any, *, way_out: str, holds: Sequence[str] = ()) -> dict[str, Any]:
    """Return the content of a JSON file after checking that it is an object with its keys, see `read_object`."""
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, where things stand by names; {way_out}")
    lacking = [name for name in holds if name not in content]
    if lacking:
        raise ValueError(f"{path} lacks {', '.join(lacking)}; {way_out}")
    return content
