"""Classes of other packages or of one's own that a run builds: metrics, callbacks, loggers, networks, data sets.

A setting holds each as `config.yaml` does: its import path, or a mapping of that to its arguments. It is
imported when it is built; where it comes from a file, at once, by the rule of `studygroup.training.trust`.
"""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from studygroup.importing import is_factory, taken
from studygroup.training.by_path import names_code
from studygroup.training.config import plain
from studygroup.training.trust import import_part, is_reading

Part = str | dict[str, dict[str, Any]]
"""An import path, or a mapping of one to its arguments."""


def as_part(value: Any, key: str) -> Part:
    """Return what names a class as its plain value.

    Args:
        value: an importable class, a `functools.partial` of one with keyword arguments, or the plain value itself.
        key: where it stands, for messages.

    Raises:
        NotAllowedError: it stands in a file that may not name it.
        ValueError: it names no class.
    """
    path, options = _split(value, key)
    if "." not in path:
        raise ValueError(f"{key} names {path!r}; give its import path, such as package.module.{path}")
    if is_reading():
        import_part(path)
    return {path: options} if options else path


def _split(value: Any, key: str) -> tuple[str, dict[str, Any]]:
    """Return the import path and the arguments."""
    wanted = ValueError(
        f"{key} is {value!r:.80}; give the import path of a class, a mapping of that to its arguments, such as "
        "{package.module.Name: {argument: 1}}, or in Python the class or a functools.partial of it"
    )
    if isinstance(value, str):
        return value, {}
    if isinstance(value, Mapping):
        if len(value) != 1:
            raise wanted
        ((path, options),) = value.items()
        if not isinstance(options or {}, Mapping):
            raise wanted
        return str(path), dict(plain(options or {}))
    if not inspect.isclass(value) and not isinstance(value, functools.partial):
        raise wanted
    try:
        named = plain(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error
    return (named, {}) if isinstance(named, str) else (named["class_path"], named["init_args"])


def check_import(name: str) -> None:
    """Import what a file names, if it may name it; where no file is read, do nothing.

    Raises:
        NotAllowedError: it may not.
        ValueError: it cannot be imported.
    """
    if not is_reading():
        return
    try:
        import_part(name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{name!r} cannot be imported: {error}") from error


def named_factory(value: Any, key: str) -> tuple[str, dict[str, Any]]:
    """Return the name of a network or data set, and the arguments that stand with it.

    Args:
        value: a name as it is, or an importable class or function, or a `functools.partial` of one with keyword
            arguments.
        key: the setting.

    Raises:
        NotAllowedError: it stands in a file that may not name it.
        ValueError: it is none of these.
    """
    if isinstance(value, str):
        if names_code(key, value):
            check_import(value)
        return value, {}
    if not is_factory(value):
        said = " ".join(repr(value).split())
        raise ValueError(
            f"{key} is {said:.80}; give a name, or in Python a class or function that builds it, or "
            "a functools.partial of one with keyword arguments: what is built could not be repeated from a file"
        )
    try:
        named = plain(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error
    return (named, {}) if isinstance(named, str) else (named["class_path"], named["init_args"])


def build_part(part: Part, key: str, base: type, *, given: Mapping[str, Any] | None = None) -> Any:
    """Build an object from its plain value.

    Args:
        part: as `as_part` returns it.
        key: where it stands, for messages.
        base: the class that its own must derive from.
        given: arguments that the run gives where the class takes them and the user leaves them out.

    Raises:
        ValueError: it cannot be imported, is no such class, or refuses its arguments.
    """
    path, options = (part, {}) if isinstance(part, str) else next(iter(part.items()))
    try:
        found = import_part(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{key} names {path!r}, which cannot be imported: {error}") from error
    if not inspect.isclass(found) or not issubclass(found, base):
        raise ValueError(f"{key} names {path!r}, which is no {base.__module__}.{base.__qualname__}")
    arguments = dict(options)
    for name, value in (given or {}).items():
        if name in _arguments(found):
            arguments.setdefault(name, value)
    try:
        return found(**arguments)
    except Exception as error:  # whatever its constructor raises, such as MisconfigurationException
        raise ValueError(f"{key}: {path} refuses its arguments {arguments!r:.200}: {error}") from error


def _arguments(found: Any) -> set[str]:
    """Return the arguments by name of a class, those of `__new__` included."""
    made = [one for one in (vars(found).get("__new__"), found.__init__) if one is not None]
    return {name for one in made for name in taken(getattr(one, "__func__", one))}
