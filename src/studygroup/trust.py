"""What a user trusts: the modules that files may name, and the places that links in folders may lead to.

Files come from anyone: the configuration of a run folder, the header of a shipped network. What they name is
imported, and importing is executing. So they may name the library's own parts alone, and what a user allows: for a
while, by `allowing`; in the environment variable `STUDYGROUP_ALLOW`, separated by commas; or by installing a package
that declares its modules as entry points of the group `studygroup.allowed`.
"""

import functools
import importlib.machinery
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import entry_points
from pathlib import Path

ENVIRONMENT = "STUDYGROUP_ALLOW"
"""Environment variable with names that are allowed, separated by commas."""
GROUP = "studygroup.allowed"
"""Group of the entry points by which installed packages allow modules of their own."""
PROJECT = "."
"""Stands for all modules in the working directory."""
REMOTE_CODE = "remote_code"
"""Stands for code that comes with networks of the Hugging Face hub; not taken from the environment."""

_given: ContextVar[tuple[str, ...]] = ContextVar("allowed", default=())


class NotAllowedError(ValueError):
    """A file names code, or a folder holds a file, that nobody allowed."""


@contextmanager
def allowing(*names: str) -> Iterator[None]:
    """Allow names within the context, besides those that are allowed already.

    Example:
        >>> with allowing("mypackage.recipes"):
        ...     evaluate("runs/theirs")

    Args:
        names: modules, whose functions and classes files may name, and those of modules inside them; `.` for those of
            the working directory; folders, as absolute paths, to which links in a folder may lead; `remote_code` for
            code that comes with networks of the Hugging Face hub.

    Raises:
        ValueError: a name that is none of these.
    """
    for name in names:
        if name != PROJECT and not os.path.isabs(name) and not _is_dotted(name):
            raise ValueError(
                f"{name!r} cannot be allowed; give a module such as mypackage.recipes, {PROJECT} for the modules of "
                "this folder, or the absolute path of a folder"
            )
    token = _given.set((*_given.get(), *names))
    project = PROJECT in names and os.getcwd() not in sys.path
    try:
        if project:
            sys.path.append(os.getcwd())  # last: nothing there takes the place of what is installed
        yield
    finally:
        _given.reset(token)
        if project:
            sys.path.remove(os.getcwd())


def given() -> tuple[str, ...]:
    """Return what `allowing` allows here, which other processes have to be told."""
    return _given.get()


def allows_module(name: str, *, read: Path | None = None) -> bool:
    """Tell whether a user allows what a dotted name names; nothing is imported.

    Args:
        name: import path of a class, a function or a module.
        read: the file that names it: modules beside it, or below, are not those of the project.
    """
    names = _names()
    if any(name == one or name.startswith(f"{one}.") for one in names):
        return True
    return PROJECT in names and _in_project(name.partition(".")[0], read)


def allows_place(path: str) -> bool:
    """Tell whether links may lead to a path, which is absolute and free of links."""
    places = [os.path.realpath(name) for name in _names() if os.path.isabs(name)]
    return any(is_inside(path, place) for place in places)


def allows_remote_code() -> bool:
    """Tell whether code that comes with a network may be executed."""
    return REMOTE_CODE in _given.get()


@contextmanager
def unasked() -> Iterator[None]:
    """Let the library ask nobody whether to execute code that comes with a network; not asked, it does not."""
    from transformers import dynamic_module_utils

    before = dynamic_module_utils.TIME_OUT_REMOTE_CODE
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
    try:
        yield
    finally:
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = before


@contextmanager
def tensors_alone() -> Iterator[None]:
    """Let torch read tensors alone, whatever a library asks for; earlier versions of timm ask for all of a pickle."""
    before = os.environ.get(_TENSORS_ALONE)
    os.environ[_TENSORS_ALONE] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_TENSORS_ALONE, None)
        else:
            os.environ[_TENSORS_ALONE] = before


_TENSORS_ALONE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def is_inside(path: str, folder: str) -> bool:
    """Tell whether a path is a folder or lies in it; both are absolute and free of links."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _names() -> tuple[str, ...]:
    environment = (name.strip() for name in os.environ.get(ENVIRONMENT, "").split(","))
    return (*_given.get(), *(name for name in environment if name not in ("", REMOTE_CODE)), *_declared())


@functools.cache
def _declared() -> tuple[str, ...]:
    """Return the modules that installed packages allow."""
    return tuple(entry.value for entry in entry_points(group=GROUP) if _is_dotted(entry.value))


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _in_project(top: str, read: Path | None) -> bool:
    """Tell whether a top-level module is a file or package of the working directory, and none of the folder read."""
    found = importlib.machinery.PathFinder.find_spec(top)
    if found is None or found.origin is None or found.loader is None:  # a namespace: any folder is one
        return False
    origin, project = os.path.realpath(found.origin), os.path.realpath(os.getcwd())
    stranger = None if read is None else os.path.realpath(read.parent)
    own = stranger is None or stranger == project or not is_inside(origin, stranger)
    return is_inside(origin, project) and "site-packages" not in Path(origin).parts and own
