"""A cache between runs for results that are slow to compute, under names that determine their content."""

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from studygroup.data.sums import CacheWarning
from studygroup.data.text.cache import cache_folder
from studygroup.files import write_bytes

_DIGEST = hashlib.sha256().digest_size


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
