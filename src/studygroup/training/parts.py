"""Classes of other packages or of one's own that a run builds: metrics, callbacks, loggers.

A setting holds each as a plain value, `{class_path: ..., init_args: ...}`, as `config.yaml` does. It is imported when it
is built; where it comes from a file, at once, by the rule of `studygroup.training.trust`.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from studygroup.training.config import Config, plain
from studygroup.training.trust import import_part, is_reading

_KEYS = {"class_path", "init_args"}


def as_part(value: Any, key: str) -> Config:
    """Return what names a class as its plain value.

    Args:
        value: an importable class, a `functools.partial` of one with keyword arguments, an import path, or the plain
            value itself.
        key: where it stands, for messages.

    Raises:
        NotAllowedError: it stands in a file that may not name it.
        ValueError: it names no class.
    """
    try:
        found = plain(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error
    found = {"class_path": found} if isinstance(found, str) else found
    named = found.get("class_path") if isinstance(found, Mapping) else None
    arguments = found.get("init_args") if isinstance(found, Mapping) else None
    if not isinstance(named, str) or {*found} - _KEYS or not isinstance(arguments or {}, Mapping):
        raise ValueError(
            f"{key} is {value!r:.80}; give the import path of a class, a mapping of class_path and init_args, or in "
            "Python the class or a functools.partial of it"
        )
    if "." not in named:
        raise ValueError(f"{key} names {named!r}; give its import path, such as package.module.{named}")
    if is_reading():
        import_part(named)
    return {"class_path": named, "init_args": dict(arguments or {})}


def build_part(part: Config, key: str, base: type, *, given: Mapping[str, Any] | None = None) -> Any:
    """Build an object from its plain value.

    Args:
        part: as `as_part` returns it.
        key: where it stands, for messages.
        base: the class that its own must derive from.
        given: arguments that the run gives where the class takes them and the user leaves them out.

    Raises:
        ValueError: it cannot be imported, is no such class, or refuses its arguments.
    """
    path = part["class_path"]
    try:
        found = import_part(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{key} names {path!r}, which cannot be imported: {error}") from error
    if not inspect.isclass(found) or not issubclass(found, base):
        raise ValueError(f"{key} names {path!r}, which is no {base.__module__}.{base.__qualname__}")
    arguments = dict(part["init_args"])
    for name, value in (given or {}).items():
        if name in _arguments(found):
            arguments.setdefault(name, value)
    try:
        return found(**arguments)
    except (TypeError, ValueError, ImportError) as error:
        raise ValueError(f"{key}: {path} refuses its arguments {arguments!r:.200}: {error}") from error


def _arguments(found: Callable[..., Any]) -> set[str]:
    """Return the arguments by name of a class, those of `__new__` included."""
    made = [vars(found).get("__new__"), getattr(found, "__init__", None)]
    return {
        name
        for one in made
        if callable(one) or one is not None
        for name in _names(getattr(one, "__func__", one))
    }


def _names(function: Any) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []
