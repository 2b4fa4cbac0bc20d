"""The public names and their arguments are those of `public_names.txt`: nobody removes one unawares.

`python tests/test_public_names.py` writes the list anew; a line that goes is a change that users must be told of
first, see docs/migrating.md.
"""

import importlib
import inspect
from pathlib import Path

LIST = Path(__file__).with_name("public_names.txt")
MODULES = (
    "",
    "functional",
    "layers",
    "objectives",
    "parallel",
    "recipes",
    "routes",
    "schedules",
    "teachers",
    "analysis",
    "data",
    "formats",
    "models",
    "report",
    "training",
)


def public() -> list[str]:
    """Return a line for every public name, with the names of its arguments."""
    return [line for name in MODULES for line in _of_module(f"studygroup.{name}".rstrip("."))]


def _of_module(name: str) -> list[str]:
    module = importlib.import_module(name)
    own = [
        key for key, one in vars(module).items() if getattr(one, "__module__", None) == name and key[0] != "_"
    ]
    return [
        f"{name}.{key}{_arguments(getattr(module, key))}" for key in sorted(getattr(module, "__all__", own))
    ]


def _arguments(one: object) -> str:
    if not inspect.isroutine(one) and (not isinstance(one, type) or issubclass(one, Exception)):
        return ""
    return f"({', '.join(inspect.signature(one).parameters)})"


def test_public_names_are_those_of_the_list():
    kept, there = LIST.read_text().splitlines(), public()
    assert [line for line in kept if line not in there] == [], "gone or changed: see docs/migrating.md"
    assert [line for line in there if line not in kept] == [], f"new: python {Path(__file__).name} lists them"
    assert kept == there
    assert len(kept) > 150


if __name__ == "__main__":
    LIST.write_text("\n".join(public()) + "\n")
