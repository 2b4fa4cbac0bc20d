"""A run's configuration: the arguments of `train` as plain values that YAML stores and a later run reads.

The signature of a function is its configuration. `plain` turns live arguments into the values a configuration
file holds, and `complete` passes them through the function's own parser, which fills in every default and
refuses what the signature does not know: one canonical form, whether a run was started from Python, from the
command line or from a file.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonargparse._typehints
import yaml
from jsonargparse import ArgumentParser, Namespace

from studygroup.training.migrate import ONE_PROCESS
from studygroup.training.mistakes import one_line

Config = dict[str, Any]


class ConfigurationChangedError(ValueError):
    """A run folder or checkpoint belongs to another configuration than the one given."""


def _forget(parser_or_action: Any, before: Any, value: Any) -> None:
    """Drop all arguments of the previous class where another class takes its place."""
    if before and "init_args" in before and before["class_path"] != value["class_path"]:
        before["init_args"].clear() if isinstance(before, dict) else before.pop("init_args")


# jsonargparse hands arguments of equal names on to the new class: `--recipe dml` would train DML with the default
# recipe's temperature and number of students, and `--optimizer SGD` with Adam's rate, silently. It has no
# setting for this; tests/training/test_config.py fails if a later version no longer comes here.
jsonargparse._typehints.discard_init_args_on_class_path_change = _forget

_path_by_name: Callable[..., str] = jsonargparse._typehints.resolve_class_path_by_name


def _own_path_first(cls: type | tuple[type, ...], name: str) -> str:
    """Return the import path of a class given by its bare name: torch's or the library's before all others."""
    try:
        return _path_by_name(cls, name)
    except ValueError:  # several: whatever was imported counts, as transformers' own Adafactor
        listed: Callable[..., list[str]] = jsonargparse._typehints.get_all_subclass_paths
        paths = listed(cls, include_abstract=False)
        own = [path for path in paths if path.startswith(_OWN) and path.rpartition(".")[2] == name]
        if len(own) != 1:
            raise
        return own[0]


_OWN = ("studygroup.", "torch.optim.", "torch.nn.")
# What a configuration means must not depend on the packages that a process has imported. jsonargparse has no setting
# for this, either; tests/training/test_config.py fails if a later version no longer comes here.
jsonargparse._typehints.resolve_class_path_by_name = _own_path_first


def add_options(
    parser: ArgumentParser,
    function: Callable[..., Any],
    *,
    skip: Sequence[str] = (),
    positional: bool = False,
) -> None:
    """Add the arguments of a function or class to a parser as options.

    Args:
        parser: receives the options.
        function: annotated, with a Google docstring.
        skip: arguments to leave out.
        positional: whether arguments without a default are positional.
    """
    add = parser.add_class_arguments if inspect.isclass(function) else parser.add_function_arguments
    add(function, skip=set(skip), as_positional=positional, fail_untyped=True)
    for name, parameter in inspect.signature(function).parameters.items():
        if name in skip:
            continue
        default = parameter.default
        live = isinstance(default, functools.partial) or (
            dataclasses.is_dataclass(default) and callable(default)
        )
        if live and not inspect.isclass(default):  # jsonargparse accepts no live object as a default
            parser.set_defaults({name: plain(default)})


@functools.cache
def parser_for(function: Callable[..., Any], *, only: str | None = None) -> ArgumentParser:
    """Build a parser whose options are the function's arguments.

    Args:
        function: annotated, with a Google docstring; its keyword arguments become options.
        only: the one argument to become an option; by default all.
    """
    others = (
        () if only is None else tuple(name for name in inspect.signature(function).parameters if name != only)
    )
    parser = ArgumentParser(exit_on_error=False)
    add_options(parser, function, skip=others)
    return parser


def complete(function: Callable[..., Any], options: Mapping[str, Any], *, only: str | None = None) -> Config:
    """Return the complete configuration of a call, defaults included, as plain values.

    Args:
        function: the function to be called.
        options: the given arguments, live or plain.
        only: the one argument wanted, which is quicker; by default all.

    Raises:
        ValueError: an argument that the signature does not know or that has the wrong type.
    """
    parser = parser_for(function, only=only)
    parsed = _parse(parser, function, {name: plain(value) for name, value in options.items()})
    loaded: Config = yaml.safe_load(parser.dump(parsed, skip_validation=True))
    return loaded


def instances(function: Callable[..., Any], options: Mapping[str, Any], *, only: str | None = None) -> Config:
    """Build the live arguments of a call from plain ones, defaults included.

    Args:
        function: the function to be called.
        options: plain values, as `complete` returns them.
        only: the one argument wanted; by default all.

    Raises:
        ValueError: an argument that the signature does not know or that has the wrong type.
    """
    parser = parser_for(function, only=only)
    return dict(parser.instantiate(_parse(parser, function, options)))


def _parse(parser: ArgumentParser, function: Callable[..., Any], options: Mapping[str, Any]) -> Namespace:
    try:
        parsed: Namespace = parser.parse_object(dict(options))
    except Exception as error:  # jsonargparse raises ArgumentError and plain exceptions alike
        raise ValueError(f"not a configuration of {function.__name__}: {one_line(str(error))}") from error
    return parsed


def plain(value: Any) -> Any:
    """Return the plain value that a configuration file holds for a live argument.

    Args:
        value: a number, text, path, sequence, mapping, frozen dataclass, importable class or function, or a
            `functools.partial` of one with keywords.

    Raises:
        ValueError: the value has no plain form (a lambda, a module with weights).
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    return _named(value)


def _named(value: Any) -> Any:
    """Return import path and arguments of an object that is not a plain value."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {"class_path": _path(type(value)), "init_args": plain(fields)}
    if isinstance(value, functools.partial):
        # a parser hands out partials of its own helper, the class last among the positional arguments
        target = next((item for item in reversed(value.args) if inspect.isclass(item)), value.func)
        return {"class_path": _path(target), "init_args": plain(value.keywords)}
    if inspect.isclass(value) or inspect.isfunction(value):
        return _path(value)
    raise ValueError(
        f"a run could not be repeated from its configuration: nothing in a file stands for {value!r}; give an "
        "importable function or class, or functools.partial of one with keyword arguments"
    )


def _path(target: Any) -> str:
    """Return the import path of a class or function."""
    if "<" in target.__qualname__:
        raise ValueError(
            f"a run could not be repeated from its configuration: {target.__qualname__} cannot be imported; "
            "define it at the top level of a module"
        )
    return f"{target.__module__}.{target.__qualname__}"


def check_same(
    old: Config,
    new: Config,
    *,
    ignore: Sequence[str],
    where: str,
    else_give: str = "another --run_dir for a new run",
) -> None:
    """Refuse to continue what another configuration produced.

    Args:
        old: configuration of the existing result.
        new: configuration of this run.
        ignore: top-level names that do not affect the result.
        where: the existing result, for the message.
        else_give: the way out besides equal values, for the message.

    Raises:
        ConfigurationChangedError: names every key that differs, with both values.
    """
    listed = "; ".join(changed_keys(old, new, ignore=ignore))
    if listed:
        raise ConfigurationChangedError(
            f"{where} belongs to another configuration ({listed}); give the same values to continue it (on the "
            f"command line, --config with its config.yaml), or {else_give}"
        )


def changed_keys(old: Config, new: Config, *, ignore: Sequence[str] = ()) -> list[str]:
    """Return, for each key that differs, both values in words.

    Args:
        old: the values "there".
        new: the values "now".
        ignore: top-level names to leave out.
    """
    before = {k: v for k, v in flat(ONE_PROCESS | old) if k.split(".")[0] not in ignore}
    after = {k: v for k, v in flat(ONE_PROCESS | new) if k.split(".")[0] not in ignore}
    keys = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
    return [f"{k}: {before.get(k)!r} there, {after.get(k)!r} now" for k in keys]


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested mappings with their dotted names."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
