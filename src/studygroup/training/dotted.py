"""Values of a configuration by dotted name, such as `recipe.students`, as the command line has them."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from studygroup.training.config import Config


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """Return a copy of a configuration with other values.

    Args:
        config: plain values, as `Settings.config` returns them; not changed.
        values: values by dotted name. A class, such as `recipe`, takes its own defaults for arguments not named.
    """
    changed = copy.deepcopy(config)
    for name in sorted(values, key=lambda name: name.count(".")):  # a class before its arguments
        *above, last = name.split(".")
        node = changed
        for key in above:
            node = _arguments(node, key)
        node[last] = copy.deepcopy(values[name])
    return changed


def get_value(config: Config, name: str) -> Any:
    """Return the value of a dotted name; None where there is none."""
    *above, last = name.split(".")
    node = copy.deepcopy(config)
    for key in above:
        node = _arguments(node, key)
    return node.get(last)


def dotted_names(config: Config, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of everything in a configuration."""
    for key in config:
        yield prefix + key
        arguments = _arguments(dict(config), key) if isinstance(config[key], Mapping) else {}
        yield from dotted_names(arguments, f"{prefix}{key}.")


def _arguments(config: Config, key: str) -> Config:
    """Return the mapping below a key: the arguments of a class, or a plain mapping; created where missing."""
    inner = config.get(key)
    if isinstance(inner, str):  # a class without arguments
        inner = {"class_path": inner}
    config[key] = inner if isinstance(inner, dict) else {}
    arguments: Config = (
        config[key].setdefault("init_args", {}) if "class_path" in config[key] else config[key]
    )
    return arguments


def texts(value: Any) -> Iterator[str]:
    """Yield all texts in a plain value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
