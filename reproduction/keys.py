"""Keys of runs, made of their content: of two equal configurations there is one run, whichever table asks for it."""

import functools
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from studygroup.training.config import Config, complete, instances
from studygroup.training.settings import RESULT_STAYS, Settings


def key(config: Config) -> str:
    """What tells a configuration from all others: of all settings, defaults included, but seed and `RESULT_STAYS`.

    Args:
        config: settings as plain values, model and its options among them.

    Raises:
        ValueError: a name or value that the settings do not know.
    """
    whole = _defaults() | {name: _whole(name, json.dumps(value)) for name, value in config.items()}
    stays = (*RESULT_STAYS, "seed")
    # what stands at None is left out at every depth, so that a new argument which is None changes no key
    telling = {name: _said(value) for name, value in whole.items() if name not in stays and value is not None}
    return hashlib.sha256(json.dumps(telling, sort_keys=True).encode()).hexdigest()[:16]


def _said(value: Any) -> Any:
    """A setting without the arguments that are None."""
    if not isinstance(value, Mapping):
        return value
    return {name: _said(inner) for name, inner in value.items() if inner is not None}


def run_name(key: str, seed: int) -> str:
    """The name of a run in folders and files, `KEY-SEED`."""
    return f"{key}-{seed}"


def settings_only(config: Config) -> str:
    """Settings to be compared, whatever their data."""
    return json.dumps({name: value for name, value in config.items() if name != "data"}, sort_keys=True)


# one by one: tables have many cells of few different settings, and a parser takes its time
@functools.cache
def _whole(name: str, value: str) -> Any:
    """One setting, from JSON, as a whole configuration has it."""
    live = instances(
        Settings, {name: json.loads(value)}, only=name
    )  # whose classes are named where they stand
    return complete(Settings, live, only=name)[name]


@functools.cache
def _defaults() -> Config:
    """All settings, as where the data are not digits, which have a default of their own."""
    return Settings.from_config({"data": "-"}).config()
