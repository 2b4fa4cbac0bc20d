"""Files that are written whole or not at all, and that say so where they are damaged all the same."""

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file that is either whole or not there, whenever the process is killed.

    A kill may leave a hidden folder beside it, with a file that is not whole: never a file that who reads the folder
    takes for one of its own.

    Args:
        path: where it goes; missing folders are made.
        write: is given the name of a file that is to be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # beside its destination: renaming is atomic within one file system only
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
        temporary = Path(folder) / path.name
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write text atomically, see `write_atomically`."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically, see `write_atomically`."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def read_json(path: Path, *, way_out: str) -> Any:
    """Return what a JSON file holds.

    Args:
        path: of the file.
        way_out: what to do where it is damaged.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read ({error}); {way_out}") from error


def read_object(path: Path, *, way_out: str, holds: Sequence[str] = ()) -> dict[str, Any]:
    """Return what a JSON file holds by names.

    Args:
        path: of the file.
        way_out: what to do where it is damaged.
        holds: names that must be there.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is damaged, or is something else.
    """
    return checked(path, read_json(path, way_out=way_out), way_out=way_out, holds=holds)


def checked(path: Path, content: Any, *, way_out: str, holds: Sequence[str] = ()) -> dict[str, Any]:
    """Return the content of a file if it holds things by names, see `read_object`."""
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, where things stand by names; {way_out}")
    lacking = [name for name in holds if name not in content]
    if lacking:
        raise ValueError(f"{path} lacks {', '.join(lacking)}; {way_out}")
    return content
