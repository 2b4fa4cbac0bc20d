"""Classes and functions of one's own by their import path, such as `mypackage.nets.Net`."""

import functools
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from typing import Any


def is_dotted(name: Any) -> bool:
    """Tell whether a value has the form of an import path."""
    return isinstance(name, str) and "." in name and all(part.isidentifier() for part in name.split("."))


def can_be_found(name: str) -> bool:
    """Tell whether there is such a top-level module; nothing is imported. A name of weights or of a layer is none."""
    try:
        return importlib.util.find_spec(name.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return True


def is_import_path(name: Any) -> bool:
    """Tell whether a name is the path of something in a module that is there; nothing is imported.

    `resnet50.a1_in1k`, weights of timm, is none, unless there is a module `resnet50`.
    """
    return is_dotted(name) and can_be_found(name)


def own_factory(path: str, *, what: str) -> Callable[..., Any]:
    """Import a class or function by its path.

    Args:
        path: its import path.
        what: what it stands for, for messages.

    Raises:
        ValueError: it cannot be imported, or is neither.
    """
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"{what} {path!r} cannot be imported ({error}); check the path, and that its module is importable "
            "(PYTHONPATH=. for a file of the working folder)"
        ) from error
    if not inspect.isroutine(found) and not is_factory(found):
        raise ValueError(
            f"{what} {path!r} is a {type(found).__name__}, which a run cannot build anew; give a class or a function"
        )
    made: Callable[..., Any] = found
    return made


def taken(make: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a class's or function's arguments, `*args` and `**options` left out."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):  # written in C
        return ()
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return tuple(one.name for one in parameters if one.kind not in several)


def call_own(make: Callable[..., Any], arguments: Mapping[str, Any], *, what: str) -> Any:
    """Call a class or function of one's own.

    Raises:
        ValueError: it refuses its arguments.
    """
    try:
        return make(**arguments)
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{key}={value!r:.80}" for key, value in arguments.items())
        takes = ", ".join(taken(make)) or "none by name"
        raise ValueError(
            f"{what} refuses its arguments {given or '(none)'} ({type(error).__name__}: {error}); it takes {takes}"
        ) from error


def is_factory(value: Any) -> bool:
    """Tell whether a live value is a class or a function, or a `functools.partial` of one."""
    return inspect.isclass(value) or inspect.isfunction(value) or isinstance(value, functools.partial)
