"""Results that take long to make, kept between runs under a name that says what they are made of."""

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from studygroup.data.text.cache import cache_folder
from studygroup.files import write_bytes

_DIGEST = hashlib.sha256().digest_size


class CacheWarning(UserWarning):
    """What was kept of an earlier run is of no use, or nothing can be kept for the next."""


def remembered(name: str, make: Callable[[], bytes]) -> bytes:
    """What `make` returns, from the cache where it was made before.

    A file there is a sha256 sum and what it is the sum of; one that is damaged is made anew, with a `CacheWarning`.
    Two processes that want the same make it once: one waits.

    Args:
        name: of the file in the cache folder; must change with all that decides the result.
        make: makes it.
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
    """Makes what is still not there, while no other process does."""
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
    """The content of a file that is there and whole."""
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
