"""The search space: settings by name, each with its axis, checked against the signature before a trial begins."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from studygroup.naming import did_you_mean
from studygroup.training.config import Config
from studygroup.training.dotted import dotted_names, get_value, with_values
from studygroup.training.settings import RESULT_STAYS, Settings
from studygroup.training.tuning.axes import Axis, Values, read_axis

_RULER = (
    *("data", "data_options", "holdout", "holdout_noise", "noise", "seed", "test_rows", "train_rows"),
    *("select_by", "select_mode"),
)
"""Settings that decide which rows or labels score a trial."""


@dataclass(frozen=True)
class Space:
    """The settings that are searched.

    Attributes:
        base: the configuration of all settings that are not searched.
        axes: axes by dotted name.
    """

    base: Config
    axes: Mapping[str, Axis]

    def settings(self, values: Mapping[str, Any], **fixed: Any) -> Settings:
        """Build the settings with the values of a trial.

        Args:
            values: plain values by dotted name.
            fixed: further settings by name.

        Raises:
            ValueError: the values do not fit the signatures.
        """
        return Settings.from_config(with_values(self.base, values) | fixed)

    def grid(self) -> "Space":
        """Return the same space with a list of values on every axis.

        Raises:
            ValueError: an axis is a range without steps.
        """
        return Space(self.base, {name: axis.listed(name) for name, axis in self.axes.items()})

    def size(self) -> int:
        """Return the number of combinations; every axis must be a list."""
        return math.prod(len(axis.samples()) for axis in self.axes.values())

    def lists(self) -> dict[str, list[Any]]:
        """Return the stored values of every axis that is a list."""
        return {name: axis.stored for name, axis in self.axes.items() if isinstance(axis, Values)}

    def __str__(self) -> str:
        return "\n".join(f"  {name}: {axis}" for name, axis in self.axes.items())


def read_space(settings: Settings, search: Mapping[str, Any]) -> Space:
    """Read a search and check every value of a list, and both ends of a range, against the signatures.

    Args:
        settings: all settings that are not searched.
        search: axes by dotted name, as `studygroup.training.tuning.axes.read_axis` takes them.

    Raises:
        ValueError: nothing to search, students chosen by a metric of one's own, an unknown name,
            a value that its setting does not accept, or a setting that
            would make the accuracies of trials incomparable.
    """
    if not search:
        raise ValueError('the search is empty; name a setting, such as {"optimizer.lr": [0.01, 0.1]}')
    if settings.select_by is not None:
        raise ValueError(
            f"select_by is {settings.select_by!r}, and trials are compared by hold-out accuracy; leave it out"
        )
    base = settings.config()
    axes: dict[str, Axis] = {}
    for name in sorted(search, key=lambda name: name.count(".")):  # a class before its arguments
        before = {other: axis.samples()[0] for other, axis in axes.items() if name.startswith(f"{other}.")}
        complete = Settings.from_config(with_values(base, before)).config() if before else base
        axes[name] = _axis(complete, name, search[name])
    return Space(base, {name: axes[name] for name in search})


def _axis(base: Config, name: str, given: Any) -> Axis:
    """Read and check one axis."""
    top = name.split(".")[0]
    if top in (*_RULER, *RESULT_STAYS):
        why = "decides what trials are scored by" if top in _RULER else "does not bear on the result"
        raise ValueError(f"{name} {why}, so it cannot be searched; set it once for the whole study")
    # a setting whose current value is a fraction takes fractions, even if its range has whole ends
    axis = read_axis(name, given, whole=not isinstance(get_value(base, name), float))
    for value in axis.samples():
        try:
            Settings.from_config(with_values(base, {name: value}))
        except ValueError as error:
            raise _refusal(base, name, value, error) from error
    return axis


def _refusal(base: Config, name: str, value: Any, error: ValueError) -> ValueError:
    """Build the error for a value that does not fit: its name is unknown, or its type is wrong."""
    names = {*dotted_names(base), *(field.name for field in fields(Settings))}
    if name in names:
        return ValueError(f"{name} cannot be {value!r}: {error}")
    return ValueError(
        f"there is no setting {name!r}{did_you_mean(name, names)}; names are those of the command line, see "
        "`studygroup train --print_config`"
    )
