"""Which classes and functions a configuration may name, checked before anything is imported.

A parser imports whatever a configuration names and calls it. So a file is checked twice: its content against the
names that each setting takes (`check_config`), and every import that the parser makes while it reads what stood in a
file (`reading`), wherever in the file the name stands. Names are compared with those of known objects, and never
looked up through a module; where a user allows a module, what is found there must be defined there.
"""

import functools
import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonargparse._actions
import jsonargparse._typehints
import jsonargparse._util
import torch
from jsonargparse import set_parsing_settings

from studygroup import data, objectives, recipes, schedules, teachers
from studygroup.importing import can_be_found, is_dotted
from studygroup.training.by_path import names_code
from studygroup.trust import NotAllowedError, allows_module, allows_remote_code
from studygroup.untrusted import printable

PARTS = ("metrics", "callbacks", "loggers")
"""Settings whose entries are classes of other packages or of one's own."""
_NOT_IN_FILES = ("config", "allow")
"""Options of the command line that a file may not give."""


@functools.cache
def known() -> Mapping[str, Mapping[str, Any]]:
    """Return what a configuration may name, by setting, then by name: with and without the modules that have it."""
    from studygroup.training import methods, rates, schedulers

    parts = [getattr(module, name) for module in (teachers, objectives) for name in module.__all__]
    made: dict[str, list[Any]] = {
        "recipe": [getattr(methods, name) for name in recipes.__all__ if hasattr(methods, name)],
        "augment": [data.identity, data.PadCropFlip, data.TorchVision],
        "mix": [data.MixUp, data.CutMix],
        "criterion": [
            *(objectives.CrossEntropy, objectives.BinaryCrossEntropy, objectives.SquaredError),
            *(torch.nn.CrossEntropyLoss, torch.nn.MultiMarginLoss),
        ],
        "noise": [data.clean, data.SymmetricNoise, data.HumanNoise],
        "tokenizer": [data.SentencePiece, data.Characters, data.Pretrained],
        "optimizer": [
            some
            for some in vars(torch.optim).values()
            if inspect.isclass(some) and issubclass(some, torch.optim.Optimizer)
        ],
        "rate": [rates.Rate, *rates.Rate.__subclasses__(), schedulers.TorchRate, schedulers.TimmRate],
        "": [
            *(part for part in parts if inspect.isclass(part) and issubclass(part, _BASES)),
            *(
                some
                for some in vars(schedules).values()
                if getattr(some, "__module__", "") == schedules.__name__
            ),
        ],
    }
    found: dict[str, dict[str, Any]] = {key: {} for key in made}
    for key, objects in made.items():
        for some in objects:
            if some.__module__.startswith(("studygroup.", "torch.")):  # not a user's subclass
                found[key] |= dict.fromkeys([some.__name__, *_paths(some)], some)
    for name, recipe in _functions().items():
        found["recipe"] |= dict.fromkeys([name, *_paths(recipe)], recipe)
    return found


_BASES = (teachers.Teacher, objectives.Objective, torch.nn.Module)


def _functions() -> dict[str, Any]:
    functions = {name: getattr(recipes, name) for name in recipes.__all__}
    return {name: some for name, some in functions.items() if inspect.isfunction(some)}


def _paths(some: Any) -> list[str]:
    """Return the import paths of an object: of its module, and of every package above that has it, too."""
    name, parts = some.__name__, some.__module__.split(".")
    above = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
    return [
        f"{module}.{name}" for module in above if getattr(importlib.import_module(module), name, None) is some
    ]


def check_config(config: Any, where: Path) -> None:
    """Refuse a configuration that names anything but what its settings take, or what a user allows.

    Args:
        config: plain values, as read from a file.
        where: the file, for the message and to tell its modules from those of the project.

    Raises:
        NotAllowedError: names file, key and way out.
    """
    if not isinstance(config, Mapping):
        return
    for key in _NOT_IN_FILES:
        if key in config:
            raise NotAllowedError(
                f"{where} has the key {key!r}, which only the command line may give; remove it"
            )
    for key, value in config.items():
        _check_value(str(key), value, where, kind=str(key) if key in known() else None)
        if names_code(str(key), value):
            _check_name(str(key), value, where, kind=None)
        for place, named in _entries(value) if key in PARTS else ():
            for name in named if isinstance(named, Mapping) else [named]:
                _check_name(f"{key}.{place}", name, where, kind=None)
    search = config.get("search")
    for name, axis in search.items() if isinstance(search, Mapping) else ():
        for value in axis if isinstance(axis, list) else ():
            _check_value(f"search: {name}", value, where, kind=name if name in known() else None)
            if names_code(str(name), value):
                _check_name(f"search: {name}", value, where, kind=None)


def _entries(value: Any) -> Iterable[tuple[Any, Any]]:
    """Return the entries of a mapping or a list, with their places."""
    found: Iterable[tuple[Any, Any]] = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    )
    return found


def _check_value(key: str, value: Any, where: Path, *, kind: str | None) -> None:
    """Check a value and all that is in it; `kind` is the setting that decides what it may name."""
    if isinstance(value, Mapping):
        named = value.get("class_path")
        if named is not None:
            _check_name(f"{key}.class_path", named, where, kind=kind)
        for name, inner in value.items():
            _check_option(f"{key}.{name}", str(name), inner, where)
            if name != "class_path":
                _check_value(f"{key}.{name}", inner, where, kind=None)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            _check_value(f"{key}[{place}]", inner, where, kind=None)
    elif kind and isinstance(value, str):
        _check_name(key, value, where, kind=kind)


def _check_name(key: str, name: Any, where: Path, *, kind: str | None) -> None:
    reading = _reading.get()
    if not isinstance(name, str):
        raise NotAllowedError(f"{where}: {key} is {name!r:.80}; give the name of a class or function")
    if reading is not None and name in reading.typed:
        return
    names = known().get(kind or "", {}) if kind else _all_names()
    if name not in names and not _is_metric(name) and not ("." in name and allows_module(name, read=where)):
        raise refusal(key, name, where, kind=kind)


def check_options(options: Mapping[str, Any], where: Path, key: str) -> None:
    """Refuse arguments of a network, read from a file, that would execute the code of others.

    Raises:
        NotAllowedError: names file, key and way out.
    """
    _check_value(key, options, where, kind=None)


def _check_option(key: str, name: str, value: Any, where: Path) -> None:
    """Refuse options that let code of others in."""
    if (
        name in ("trust_remote_code", "code_revision", "auto_map", "use_kernels")
        and value
        and not allows_remote_code()
    ):
        raise NotAllowedError(
            f"{where}: {key} would execute code that comes with a network, and a file does not decide that. Look at "
            "the network's files first; then give --allow remote_code"
        )
    if "attn_implementation" in name and "/" in str(value) and not allows_remote_code():
        raise NotAllowedError(
            f"{where}: {key} is {str(value)!r}, code of the Hugging Face hub; remove it, or give --allow remote_code"
        )


@functools.cache
def _all_names() -> frozenset[str]:
    return frozenset(name for names in known().values() for name in names)


@functools.cache
def _metrics() -> frozenset[str]:
    """Return the paths of torchmetrics' metrics of classification, which compute and do nothing else."""
    from torchmetrics import Metric, classification

    return frozenset(
        path
        for some in vars(classification).values()
        if inspect.isclass(some) and issubclass(some, Metric) and some.__module__.startswith("torchmetrics.")
        for path in _paths(some)
    )


def _is_metric(name: str) -> bool:
    return name.startswith("torchmetrics.") and name in _metrics()


def refusal(key: str, name: str, where: Path | str, *, kind: str | None = None) -> NotAllowedError:
    """Return the error that says what was named where, and how to allow it."""
    module = name.rpartition(".")[0]
    listed = ", ".join(
        sorted({n for n in known().get(kind or "", {}) if "." not in n and not n.startswith("_")})
    )
    there = (
        f"{kind or 'it'} takes {listed}"
        if listed
        else "it may name parts of studygroup and optimisers of torch alone"
    )
    if not module or name.startswith(("studygroup.", "torch.")):
        return NotAllowedError(printable(f"{where}: {key} names {name!r}, and {there}"))
    return NotAllowedError(
        printable(
            f"{where}: {key} names {name!r}, which was not imported: code that a file names runs with your rights, "
            f"and {there}. Look at {module} first; then allow it with --allow {module} (in Python, "
            f"studygroup.trust.allowing({module!r})), or with --allow . where it is a module of this folder"
        )
    )


class _Refused(BaseException):
    """Carries a refusal past parsers, which try one type after another and take every other exception for a no."""

    def __init__(self, error: NotAllowedError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True)
class Reading:
    """Values from a file are being parsed.

    Attributes:
        where: the file, or files.
        values: what stands in it.
        typed: names that stand on the command line itself, besides all paths of what they name.
    """

    where: Path | str
    values: Any = None
    typed: set[str] = field(default_factory=set)

    def check(self, name: str) -> None:
        """Refuse a name before it is imported."""
        if name in _all_names() or name in self.typed or name in _BASE_NAMES or not is_dotted(name):
            return
        if _is_metric(name):
            return
        where = self.where if isinstance(self.where, Path) else None
        if allows_module(name, read=where) or not can_be_found(name):
            return
        key = next(_keys_of(name, self.values), "a value")
        raise _Refused(refusal(key, name, self.where))

    def check_found(self, name: str, found: Any) -> None:
        """Refuse what an allowed module merely imports from elsewhere."""
        if name in self.typed:
            self.typed.update(_own_paths(found))
        if name in _all_names() or name in self.typed or name in _BASE_NAMES or _is_metric(name):
            return
        own = _own_paths(found)
        if not own or not all(path in self.typed or allows_module(path) for path in own):
            key = next(_keys_of(name, self.values), "a value")
            raise _Refused(refusal(key, next(iter(own), name), self.where))


_BASE_NAMES = {
    f"{some.__module__}.{some.__qualname__}"
    for some in (torch.optim.Optimizer, torch.nn.Module, teachers.OneTeacher)
} | {
    "torch.optim.Optimizer",
    "torch.nn.Module",
    "studygroup.task.CollaborativeLearning",
    "studygroup.CollaborativeLearning",
}
"""Abstract classes that the parser itself asks for."""
_reading: ContextVar[Reading | None] = ContextVar("reading", default=None)


def _own_paths(found: Any) -> list[str]:
    """Return where an object says that it is defined; nothing for what is no class or function."""
    if not inspect.isclass(found) and not inspect.isfunction(found):
        return []
    return [f"{found.__module__}.{found.__qualname__}"]


def _keys_of(name: str, values: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys under which a name stands."""
    for key, value in _entries(values):
        if value == name:
            yield f"{prefix}{key}"
        yield from _keys_of(name, value, f"{prefix}{key}.")


@contextmanager
def reading(where: Path | str, values: Any, *, typed: Iterable[str] = ()) -> Iterator[None]:
    """Let a parser import, within the context, only what files may name and what was typed.

    Args:
        where: the file, or files, that the values are from.
        values: plain values, to tell under which key a name stands.
        typed: names that the user typed.

    Raises:
        NotAllowedError: a value names something else.
    """
    outer = _reading.get()
    names = {*typed, *(outer.typed if outer is not None else ())}
    token = _reading.set(Reading(where, values, names))
    try:
        yield
    except _Refused as refused:
        raise refused.error from None
    finally:
        _reading.reset(token)


_import: Callable[..., Any] = jsonargparse._util.import_object


def _checked_import(name: str, check_path: bool = True) -> Any:
    """Import as the parser does, where nothing is read from a file; else only what may be named there."""
    now = _reading.get()
    if now is None:
        return _import(name, check_path)
    now.check(name)
    found = _import(name, False)  # what the parser's own list says of it is not asked
    now.check_found(name, found)
    return found


# jsonargparse itself lists what may not be imported, which no list can name in full
for _module in (jsonargparse._typehints, jsonargparse._actions):
    vars(_module)["import_object"] = _checked_import
set_parsing_settings(instantiate_subclass_spec_in_any=False)


def is_reading() -> bool:
    """Tell whether what is parsed stands in a file."""
    return _reading.get() is not None


def import_part(name: str) -> Any:
    """Import a class by its path; while a file is read, only what may be named there.

    Raises:
        ImportError: there is no such module.
        AttributeError: it has no such class.
        ValueError: this is no import path.
    """
    return _checked_import(name, False)
