"""Settings that take a name, or the import path of a class or function of one's own."""

from typing import Any

from studygroup.data.own import is_own
from studygroup.importing import is_import_path

BY_PATH = ("model", "data")
"""The settings."""


def names_code(setting: str, value: Any) -> bool:
    """Tell whether the value of a setting is the import path of a network or a data set; nothing is imported."""
    if setting == "data":
        return isinstance(value, str) and is_own(value)
    return setting == "model" and is_import_path(value)
