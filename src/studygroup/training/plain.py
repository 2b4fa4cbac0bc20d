"""Plain values that were read from a file, as typed ones; the one place that compares them with annotations."""

import dataclasses
import math
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any


def as_kind(kind: Any, value: Any, name: str = "") -> Any:
    """Return a plain value as a dataclass, tuple, number or text of the annotated kind.

    Args:
        kind: a dataclass, `X | None`, `tuple[X, ...]`, `Mapping[K, V]`, `Any`, or a plain class.
        value: as JSON, YAML or a checkpoint holds it. Keys that a dataclass does not have are left out.
        name: where it stands, for messages.

    Raises:
        ValueError: a value is missing or has another type; the message, which goes on after the name of a file, names
            its dotted key.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin is types.UnionType:  # X | None
        return None if value is None else as_kind(inner[0], value, name)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        kinds, within = typing.get_type_hints(kind), f"{name}." if name else ""
        lacking = [
            field.name
            for field in dataclasses.fields(kind)
            if field.default is field.default_factory is dataclasses.MISSING and field.name not in value
        ]
        if lacking:
            raise ValueError(f"lacks {', '.join(within + field for field in lacking)}")
        return kind(**{k: as_kind(kinds[k], v, within + k) for k, v in value.items() if k in kinds})
    if origin is tuple and isinstance(value, list | tuple):
        each = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
        if len(each) == len(value):
            return tuple(as_kind(own, one, name) for own, one in zip(each, value, strict=True))
    if isinstance(value, Mapping) and isinstance(origin, type) and issubclass(origin, Mapping):
        within = f"{name}." if name else ""
        return {as_kind(inner[0], k, name): as_kind(inner[1], v, f"{within}{k}") for k, v in value.items()}
    if kind is float and type(value) in (int, float) and not sys.float_info.max < abs(value) < math.inf:
        return float(value)
    if isinstance(kind, type) and type(value) is kind:
        return value
    raise ValueError(f"has {name}={value!r:.80}, which is no {getattr(kind, '__name__', kind)}")
