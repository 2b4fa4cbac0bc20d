"""The search space: settings by name, each with its axis, checked against the signature before a trial begins."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from studygroup.naming import did_you_mean
from studygroup.training.config import Config
from studygroup.training.dotted import dotted_names, get_value, with_values
from studygroup.training.optimisers import check_optimizer
from studygroup.training.processes import check_one_process
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
    if "model" in search and settings.options_by_default:
        del base["model_options"]  # those of one network are not the others'
    axes: dict[str, Axis] = {}
    tops = {name.split(".")[0] for name in search}
    for name in sorted(search, key=lambda name: name.count(".")):  # a class before its arguments
        before = {other: axis.samples()[0] for other, axis in axes.items() if name.startswith(f"{other}.")}
        complete = Settings.from_config(with_values(base, before)).config() if before else base
        axes[name] = _axis(complete, name, search[name], scheduled=not {"epochs", "rate"} <= tops)
    return Space(base, {name: axes[name] for name in search})


def _axis(base: Config, name: str, given: Any, *, scheduled: bool) -> Axis:
    """Read and check one axis; `scheduled`, whether its values have to suit the epochs and the schedule there are."""
    top = name.split(".")[0]
    if top in (*_RULER, *RESULT_STAYS):
        why = "decides what trials are scored by" if top in _RULER else "does not bear on the result"
        raise ValueError(f"{name} {why}, so it cannot be searched; set it once for the whole study")
    axis = read_axis(name, given, whole=_takes_whole(base, name))
    for value in axis.samples():
        try:
            some = Settings.from_config(with_values(base, {name: value}))
        except ValueError as error:
            raise _refusal(base, name, value, error) from error
        check_one_process(some, of="tune")
        if top == "optimizer":
            check_optimizer(some.optimizer)
        if scheduled and top in ("epochs", "rate"):
            some.rate.check(some.epochs)
    return axis


def _takes_whole(base: Config, name: str) -> bool:
    """Return whether a range with whole ends means whole numbers: not where the setting is, or may be, a fraction."""
    value = get_value(base, name)
    if value is not None or name.startswith("model_options."):  # whose types no signature here knows
        return not isinstance(value, float)
    try:
        Settings.from_config(with_values(base, {name: 0.5}))
    except ValueError:
        return True
    return False


def _refusal(base: Config, name: str, value: Any, error: ValueError) -> ValueError:
    """Build the error for a value that does not fit: its name is unknown, or its type is wrong."""
    names = {*dotted_names(base), *(field.name for field in fields(Settings))}
    if name in names:
        return ValueError(f"{name} cannot be {value!r}: {error}")
    return ValueError(
        f"there is no setting {name!r}{did_you_mean(name, names)}; names are those of the command line, see "
        "`studygroup train --print_config`"
    )
