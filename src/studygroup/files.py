"""Write files atomically; read JSON files with errors that say what is damaged and what to do."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from studygroup.untrusted import parse_json, read_text


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file atomically: it is complete or absent even if the process is killed.

    A killed process may leave a hidden temporary folder behind, but readers never see a partial file under its final
    name.

    Args:
        path: the destination; missing parent folders are created.
        write: called with the path of a temporary file, which it must create.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # in the destination's folder: renaming is atomic within one file system only
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
    """Return the content of a JSON file.

    Args:
        path: the file.
        way_out: what to do if it is damaged, for the message.

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
    """Return the content of a JSON file that holds an object.

    Args:
        path: the file.
        way_out: what to do if it is damaged, for the message.
        holds: keys that must be present.

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
