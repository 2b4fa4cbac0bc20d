"""The state of git of a folder: commit, and the changes since; nothing that a repository configures is executed."""

import hashlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PATIENCE = 3.0  # seconds of one call
_LARGEST = 2**26  # bytes of a changed file that are read
_QUIET = ("-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "core.hooksPath=/dev/null")
_DELETED = "deleted"


@dataclass(frozen=True, kw_only=True)
class GitState:
    """Where a working tree stands; files that git does not track do not count.

    Attributes:
        commit: its name.
        changes: the sha256 sum of all changes to files since the commit; None without any.
    """

    commit: str
    changes: str | None


def git_state(folder: Path) -> GitState | None:
    """Return the state of git of the working tree that a folder lies in, in a moment.

    Neither filters nor hooks are run: changed files are found by size and date, then read as they are.

    Args:
        folder: any.

    Returns:
        None where there is no working tree, no commit, no git, or its answer takes seconds.
    """
    folder = folder.resolve()
    top = next((one for one in (folder, *folder.parents) if (one / ".git").exists()), None)
    if top is None:
        return None
    try:
        commit = _git(top, "rev-parse", "--verify", "HEAD").decode().strip()
        staged = _git(top, "diff-index", "--cached", "--no-renames", "--ignore-submodules", "-z", "HEAD")
        changed = list(_changed(top, _git(top, "diff-files", "--no-renames", "--ignore-submodules", "-z")))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    if not staged and not changed:
        return GitState(commit=commit, changes=None)
    return GitState(commit=commit, changes=hashlib.sha256(b"\0".join([staged, *changed])).hexdigest())


def _git(top: Path, *words: str) -> bytes:
    environment = os.environ | {
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }
    ended = subprocess.run(
        ["git", *_QUIET, *words],
        cwd=top,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_PATIENCE,
        check=True,
    )
    return ended.stdout


def _changed(top: Path, listed: bytes) -> Iterator[bytes]:
    """Yield path and content's name of every file that is not as in the index, though its date may be."""
    words = listed.split(b"\0")
    for fact, path in zip(words[::2], words[1::2], strict=False):
        _, mode, known, *_ = fact.decode().split(" ")
        now = _name(top / os.fsdecode(path), digits=len(known))
        if now != known or mode == "000000":
            yield path + b" " + mode.encode() + b" " + now.encode()


def _name(path: Path, *, digits: int) -> str:
    """Return git's name for a file's content; for what is too large to be read, its size."""
    if path.is_symlink():
        content = os.readlink(path).encode()
    elif not path.is_file():
        return _DELETED
    elif path.stat().st_size > _LARGEST:
        return f"of {path.stat().st_size} bytes"
    else:
        content = path.read_bytes()
    kind = hashlib.sha1 if digits == _SHA1 else hashlib.sha256
    return kind(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


_SHA1 = 40  # digits
