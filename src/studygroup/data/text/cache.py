"""The cache folder: files that were made from other files and can be made again."""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow
from filelock import FileLock

from studygroup.data.sums import CacheWarning, is_whole, write_sum
from studygroup.files import write_atomically, write_bytes

_DIGEST = hashlib.sha256().digest_size
_PATIENCE = 2.0  # seconds before a progress bar appears: a small file needs none


def cache_folder() -> Path:
    """Return `$STUDYGROUP_CACHE`, else `studygroup` in `$XDG_CACHE_HOME`, else `~/.cache/studygroup`.

    Its content may be deleted whenever no run is using it.
    """
    own, common = os.environ.get("STUDYGROUP_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return (
        Path(own).expanduser() if own else Path(common or Path.home() / ".cache").expanduser() / "studygroup"
    )


def kept_table(
    name: str, schema: pyarrow.Schema, batches: Callable[[], Iterable[pyarrow.RecordBatch]], *, what: str
) -> Any:
    """Return a table from a file in the cache folder; if it is missing, one process writes it while others wait.

    Args:
        name: of the file; must change with everything that determines its content.
        schema: names and types of the columns.
        batches: gives the rows in batches of the schema; only one of them is in memory at a time.
        what: the text of the progress bar that a long run shows.

    Returns:
        A `datasets.Dataset` over the memory-mapped file.

    Warns:
        CacheWarning: the file is damaged, or has no checksum; it is made anew.

    Raises:
        ValueError: the folder cannot be written to.
    """
    path = cache_folder() / name
    try:
        if not _is_ready(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_name(f"{path.name}.lock")):
                if not _is_ready(path):  # else another process wrote it while this one waited
                    if path.exists():
                        warnings.warn(f"{path} is damaged and is made anew", CacheWarning, stacklevel=2)
                    write_atomically(path, lambda temporary: _write(path, temporary, schema, batches(), what))
    except OSError as error:
        raise ValueError(
            f"cannot write {path} ({error}); make room, or name another folder in STUDYGROUP_CACHE"
        ) from error
    import datasets  # seconds that pictures do without

    return datasets.Dataset.from_file(str(path))


def _is_ready(path: Path) -> bool:
    return path.exists() and is_whole(path) is True


def _write(
    path: Path, temporary: Path, schema: pyarrow.Schema, batches: Iterable[pyarrow.RecordBatch], what: str
) -> None:
    """Write batches one after another, in the format of memory-mapped tables, and the checksum of the file."""
    from datasets.utils import tqdm

    with (
        pyarrow.OSFile(str(temporary), "wb") as file,
        pyarrow.ipc.new_stream(file, schema) as writer,
        tqdm(desc=what, unit=" rows", unit_scale=True, delay=_PATIENCE) as bar,
    ):
        for batch in batches:
            writer.write_batch(batch)
            bar.update(batch.num_rows)
    write_sum(path, temporary)


def remembered(name: str, make: Callable[[], bytes]) -> bytes:
    """Return the result of `make`, from the cache if it was made before.

    A cached file holds a sha256 sum and the content it is the sum of; a damaged file is made again, with a
    `CacheWarning`. If two processes need the same result, one makes it and the other waits.

    Args:
        name: of the file in the cache folder; must change with everything that determines the result.
        make: computes the result.
    """
    path = cache_folder() / name
    found = _read(path)
    if found is not None:
        return found
    lock = FileLock(path.with_name(f"{name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        _warn_unkept(path, error)
        return make()
    try:
        return _made(path, make)
    finally:
        lock.release()


def _made(path: Path, make: Callable[[], bytes]) -> bytes:
    """Make a result that is still missing and store it; the caller holds the lock."""
    found = _read(path)
    if found is not None:
        return found
    if path.exists():
        warnings.warn(f"{path} is damaged and is made anew", CacheWarning, stacklevel=2)
    made = make()
    try:
        write_bytes(path, hashlib.sha256(made).digest() + made)
    except OSError as error:
        _warn_unkept(path, error)
    return made


def _read(path: Path) -> bytes | None:
    """Return the content of a file, or None if it is missing or damaged."""
    try:
        whole = path.read_bytes()
    except OSError:
        return None
    return whole[_DIGEST:] if hashlib.sha256(whole[_DIGEST:]).digest() == whole[:_DIGEST] else None


def _warn_unkept(path: Path, error: OSError) -> None:
    warnings.warn(
        f"{path} cannot be kept ({error}), and the work is done again next time; name a folder that can be written "
        "to in the environment variable STUDYGROUP_CACHE",
        CacheWarning,
        stacklevel=3,
    )
