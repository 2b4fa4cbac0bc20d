"""Checks of arguments where they are given: the name, the value received, and what to give instead."""

import math
import operator
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")

_LONGEST = 80  # characters of a value that an error shows


def check_whole(name: str, value: Any, *, least: int | None = None) -> int:
    """Return a whole number as an `int`; `True` and 2.0 are none, NumPy's and torch's integers are.

    Args:
        name: of the argument.
        value: what was given.
        least: smallest allowed number; omitted, any.

    Raises:
        ValueError: the value is no whole number, or a smaller one.
    """
    number = value if type(value) is int else _index(value)
    if number is None or (least is not None and number < least):
        bounds = "" if least is None else f", at least {least}"
        raise ValueError(f"{name} is {shown(value)}; give a whole number{bounds}")
    return number


def check_number(name: str, value: T, *, least: float | None = None, above: float | None = None) -> T:
    """Return a finite number as it is; a tensor without axes is one, and is not looked at on a device.

    Args:
        name: of the argument.
        value: what was given.
        least: smallest allowed number; omitted, any.
        above: number above which it must lie; omitted, any.

    Raises:
        ValueError: the value is no number, is NaN or infinite, or lies outside these bounds.
    """
    number: Any = value
    fits = _is_number(number) and (
        _on_device(number)
        or (
            -math.inf < number < math.inf
            and (least is None or number >= least)
            and (above is None or number > above)
        )
    )
    if not fits:
        bounds = "" if least is None else f", at least {least}"
        bounds = bounds if above is None else f" above {above}"
        raise ValueError(f"{name} is {shown(value)}; give a finite number{bounds}")
    return value


def check_share(name: str, value: T, *, of: str = "", whole: bool = True) -> T:
    """Return a number in [0, 1] as it is.

    Args:
        name: of the argument.
        value: what was given.
        of: what it is a share of, for the error.
        whole: whether 1 is allowed.

    Raises:
        ValueError: the value is no number, or lies outside [0, 1].
    """
    number: Any = value
    if not (_is_number(number) and (_on_device(number) or (0 <= number <= 1 and (whole or number < 1)))):
        kind = f"a share of {of}" if of else "a number"
        raise ValueError(f"{name} is {shown(value)}; give {kind} in [0, 1{']' if whole else ')'}")
    return value


def check_flag(name: str, value: Any) -> bool:
    """Return `True` or `False`; other values, such as the text "no", would count as true without a word.

    Raises:
        ValueError: the value is neither.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {shown(value)}; give True or False")
    return value


def check_choice(name: str, value: T, known: Sequence[T]) -> T:
    """Return one of several values.

    Raises:
        ValueError: the value is none of them.
    """
    if not any(type(value) is type(one) and value == one for one in known):
        *others, last = map(repr, known)
        raise ValueError(f"{name}={shown(value)}; use {', '.join(others)} or {last}")
    return value


def check_kind(name: str, value: T, kind: type, wanted: str) -> T:
    """Return a value of a class.

    Args:
        name: of the argument.
        value: what was given.
        kind: the class.
        wanted: what to give, for the error.

    Raises:
        ValueError: the value is of another class, or is a class itself.
    """
    if not isinstance(value, kind):
        raise ValueError(f"{name} is {shown(value)}; give {wanted}")
    return value


def check_names(name: str, value: Iterable[Any]) -> list[Any]:
    """Return several names as a list; one text would be taken for as many names as it has letters.

    Raises:
        ValueError: the value is a text, or nothing that can be gone through.
    """
    if isinstance(value, str):
        raise ValueError(f"{name}={value!r} is a text; give a list of names: {name}=[{value!r}]")
    if not isinstance(value, Iterable):
        raise ValueError(f"{name} is {shown(value)}; give a list of names")
    return list(value)


def check_pair(name: str, value: Any) -> tuple[float, float]:
    """Return two finite numbers as a tuple.

    Raises:
        ValueError: the value is not two finite numbers.
    """
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise ValueError(f"{name} is {shown(value)}; give two numbers")
    first, second = (check_number(f"one end of {name}", end) for end in value)
    return first, second


def check_networks(networks: Sequence[nn.Module]) -> None:
    """Refuse anything but a list of at least one network.

    Raises:
        ValueError: no network, or something that is none.
    """
    wanted = "a list of networks"
    for network in check_kind("networks", networks, Sequence, wanted):
        check_kind("one of the networks", network, nn.Module, wanted)
    if not networks:
        raise ValueError("there are no networks to average; give a list of at least one")


def shown(value: Any) -> str:
    """Return a value as errors show it: short, and a tensor by its dtype and shape."""
    if isinstance(value, Tensor) and value.ndim:
        return f"a tensor of {value.dtype}, shape {tuple(value.shape)}"
    if isinstance(value, nn.Module):
        return f"a {type(value).__name__}"
    said = repr(value)
    return said if len(said) <= _LONGEST else f"a {type(value).__name__}"


def _index(value: Any) -> int | None:
    """Return what stands for a whole number as an `int`; `None` for all else, truth values included."""
    if isinstance(value, bool) or (isinstance(value, Tensor) and (value.ndim or value.dtype == torch.bool)):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _is_number(value: Any) -> bool:
    if isinstance(value, Tensor):
        return not value.ndim and not value.is_complex() and value.dtype != torch.bool
    return isinstance(value, int | float | Real) and not isinstance(value, bool)


def _on_device(value: Any) -> bool:
    """Tell whether looking at a number would wait for a device."""
    return isinstance(value, Tensor) and value.device.type != "cpu"
