"""One axis of a search: values to choose among, or a range."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from optuna.trial import Trial

from studygroup.naming import did_you_mean

_KEYS = ("low", "high", "log", "step")


@dataclass(frozen=True)
class Values:
    """Unordered values to choose among.

    Attributes:
        values: plain values, as a configuration file holds them.
    """

    values: tuple[Any, ...]

    @property
    def stored(self) -> list[Any]:
        """The values as a study's storage holds them: lists and mappings as JSON."""
        return [value if _is_scalar(value) else json.dumps(value) for value in self.values]

    def draw(self, trial: Trial, name: str) -> Any:
        """Draw the trial's value."""
        return self.value(trial.suggest_categorical(name, self.stored))

    def value(self, stored: Any) -> Any:
        """Return the plain value that a stored one stands for."""
        return self.values[self.stored.index(stored)]

    def samples(self) -> tuple[Any, ...]:
        """Return values that the setting must accept: all of them."""
        return self.values

    def listed(self, name: str) -> "Values":
        """Return the axis as a list of values."""
        return self

    def __str__(self) -> str:
        return "one of " + ", ".join(str(value) for value in self.values)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Attributes:
        low: smallest number.
        high: largest number, larger than `low`; with a step, the last multiple that does not exceed it.
        log: whether to draw uniformly in the logarithm; `low` is positive then.
        step: distance between neighbouring values; 0 for none.
        whole: whether all numbers are whole.
    """

    low: float
    high: float
    log: bool = False
    step: float = 0
    whole: bool = False

    def draw(self, trial: Trial, name: str) -> Any:
        """Draw the trial's number."""
        if self.whole:
            step = int(self.step) or 1
            return trial.suggest_int(name, int(self.low), int(self.last()), step=step, log=self.log)
        return trial.suggest_float(
            name, float(self.low), float(self.last()), step=float(self.step) or None, log=self.log
        )

    def value(self, stored: Any) -> Any:
        """Return the stored number, which is the plain value."""
        return stored

    def last(self) -> float:
        """Return the largest number that can be drawn."""
        return self._multiples()[-1] if self.step else self.high

    def _multiples(self) -> list[float]:
        """Return all numbers of a range with steps, rounded to 12 digits against errors of addition."""
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        return [float(f"{self.low + self.step * index:.12g}") for index in range(count)]

    def samples(self) -> tuple[Any, ...]:
        """Return numbers that the setting must accept: both ends."""
        ends = (self.low, self.last())
        return tuple(int(end) if self.whole else float(end) for end in ends)

    def listed(self, name: str) -> Values:
        """Return the axis as a list of values, for a grid.

        Args:
            name: name of the axis, for the message.

        Raises:
            ValueError: the range has no step.
        """
        if not self.step:
            middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
            some = ", ".join(f"{x:.3g}" for x in (self.low, middle, self.high))
            also = "" if self.log else " give the range a step,"
            raise ValueError(
                f"a grid needs values, and {name} is a range without steps ({self}); list some, such as "
                f"[{some}],{also} or search with --sampler tpe"
            )
        return Values(tuple(int(number) if self.whole else number for number in self._multiples()))

    def __str__(self) -> str:
        kind = "whole numbers " if self.whole else ""
        steps = f" in steps of {self.step:g}" if self.step else ""
        return f"{kind}{self.low:g} to {self.high:g}{steps}{', log scale' if self.log else ''}"


Axis = Values | Range


def read_axis(name: str, given: Any, *, whole: bool) -> Axis:
    """Read an axis as given by a user.

    Args:
        name: name of the setting.
        given: a list of values, or a mapping with `low`, `high` and optionally `log` or `step`.
        whole: whether a range with whole ends holds whole numbers only.

    Raises:
        ValueError: no value can be drawn from it.
    """
    if isinstance(given, Mapping):
        return _read_range(name, given, whole=whole)
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise ValueError(
            f"{name}={given!r} leaves nothing to search; give a list of values or a range such as "
            '{"low": 0.01, "high": 1.0, "log": true}, and fix a setting outside the search'
        )
    if not given:
        raise ValueError(f"the list of values of {name} is empty; give at least one, or leave {name} out")
    values = Values(tuple(given))
    if any(one == other for one, other in combinations(values.values, 2)):
        raise ValueError(f"{name}={list(given)} holds a value twice; give each once")
    return values


def _read_range(name: str, given: Mapping[str, Any], *, whole: bool) -> Range:
    unknown = sorted(set(given) - set(_KEYS))
    if unknown:
        raise ValueError(
            f"the range of {name} has no {unknown[0]!r}{did_you_mean(unknown[0], _KEYS)}; it has {_KEYS}"
        )
    log, numbers = given.get("log", False), {"low": None, "high": None} | dict(given)
    numbers.pop("log", None)
    if not all(_is_number(number) for number in numbers.values()) or not isinstance(log, bool):
        raise ValueError(
            f"the range of {name} is {dict(given)}; give finite numbers for low, high and, if any, step, "
            "and true or false for log"
        )
    whole = whole and all(isinstance(number, int) for number in numbers.values())
    axis = Range(**numbers, log=log, whole=whole)
    _check_range(name, axis, stepped="step" in given)
    return axis


def _check_range(name: str, axis: Range, *, stepped: bool) -> None:
    low, high, step = axis.low, axis.high, axis.step
    if low >= high:
        raise ValueError(f"{name} has low={low} and high={high}; low must be the smaller one")
    if axis.log and low <= 0:
        raise ValueError(f"{name} has low={low} on a log scale, which begins above 0; give a positive low")
    if axis.log and stepped:
        raise ValueError(f"{name} has a step of {step} on a log scale; list the values instead, or drop one")
    if stepped and not 0 < step <= high - low:
        raise ValueError(
            f"{name} has step={step} from {low} to {high}; give a positive one that fits in between"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)
