"""Checksums of cached tables: these are memory maps, and damage in them would be trained on without a word."""

import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow
import xxhash

from studygroup.files import write_text

_CHUNK = 2**20


class CacheWarning(UserWarning):
    """A warning that a cached result is damaged, or that a result cannot be cached for the next run."""


def write_sum(path: Path, content: Path | None = None) -> None:
    """Write the checksum of a file beside it, under its name and `.xxh3`; its `content` may lie elsewhere yet."""
    write_text(_beside(path), _sum(content or path) + "\n")


def is_whole(path: Path) -> bool | None:
    """Return whether a file still has its checksum; None if none was written.

    All of the file is read, at about 0.5 s per GB.
    """
    try:
        expected = _beside(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
    return _sum(path) == expected


def checked_tables(load: Callable[..., Any]) -> Any:
    """Return tables from the cache of `datasets`, made anew with a `CacheWarning` if a file of them is damaged.

    Their files get checksums when they are first opened. `load` is `datasets.load_dataset` with its other arguments.
    """
    try:
        tables = load()
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
            raise  # not from reading a table: no such file, no connection
        return _made_anew(load, str(error).partition("\n")[0])
    damaged = [path for path in _files(tables) if is_whole(path) is False]
    if damaged:
        return _made_anew(load, ", ".join(map(str, damaged)))
    _write_sums(tables)
    return tables


def _made_anew(load: Callable[..., Any], what: str) -> Any:
    warnings.warn(f"a cached table is damaged and is made anew ({what})", CacheWarning, stacklevel=3)
    import datasets

    # what was downloaded is used again
    tables = load(download_mode=datasets.DownloadMode.REUSE_CACHE_IF_EXISTS)
    _write_sums(tables)
    return tables


def _write_sums(tables: Any) -> None:
    for path in _files(tables):
        if is_whole(path) is not True:
            with suppress(OSError):  # a cache that cannot be written to stays unchecked
                write_sum(path)


def _files(tables: Any) -> list[Path]:
    """Return the files that back a `datasets.Dataset`, or a mapping of them."""
    some = tables.values() if isinstance(tables, dict) else [tables]
    return sorted({Path(file["filename"]) for table in some for file in table.cache_files})


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.xxh3")


def _sum(path: Path) -> str:
    total = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
    return total.hexdigest()
