"""The state of git of a folder: commit, and the changes since; nothing that a repository configures is executed."""

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_PATIENCE = 3.0  # seconds of one call
_SETTINGS = (
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.hooksPath=/dev/null",
    "protocol.allow=never",
)
_QUIET = tuple(word for setting in _SETTINGS for word in ("-c", setting))
_SUBMODULE = "160000"
_SHA1 = 40  # digits
UNKNOWN = "not looked for: too many files"
"""Stands for the changes of a working tree whose files are too large."""


@dataclass(frozen=True, kw_only=True)
class GitState:
    """Where a working tree stands; files that git does not track do not count.

    Attributes:
        commit: its name.
        changes: the sha256 sum of all changes to files since the commit; None without any. A file that a filter of
            git changes on its way out counts as changed.
    """

    commit: str
    changes: str | None


def git_state(folder: Path, *, most: int = 2**28) -> GitState | None:
    """Return the state of git of the working tree that a folder lies in, in a moment.

    Neither filters nor hooks are run: tracked files are read as they are.

    Args:
        folder: any.
        most: bytes of tracked files that are read.

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
        changed = _changed(top, _git(top, "ls-files", "--stage", "-z"), most=most)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    if changed is None:
        return GitState(commit=commit, changes=UNKNOWN)
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


def _changed(top: Path, listed: bytes, *, most: int) -> list[bytes] | None:
    """Return path and content's name of every file that is not as in the index; None where all are too large."""
    found: list[bytes] = []
    left = most
    for entry in listed.split(b"\0")[:-1]:
        fact, _, path = entry.partition(b"\t")
        mode, known, _ = fact.decode().split(" ")
        if mode == _SUBMODULE:
            continue
        content = _content(top / os.fsdecode(path), most=left)
        if content is None:
            found.append(path + b" is gone")
            continue
        left -= len(content)
        if left < 0:
            return None
        kind = hashlib.sha1 if len(known) == _SHA1 else hashlib.sha256
        now = kind(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        if now != known:
            found.append(path + b" " + now.encode())
    return found


def _content(path: Path, *, most: int) -> bytes | None:
    """Return what git would keep of a file: one byte more than `most` at most; None where there is no file."""
    if path.is_symlink():
        return os.fsencode(os.readlink(path))
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return file.read(most + 1)
