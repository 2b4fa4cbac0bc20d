"""The table of commands: options, classes and their arguments, as the real parser has them."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("commands.json")


@dataclass(frozen=True)
class Option:
    """An option or a positional argument.

    Attributes:
        name: without dashes.
        help: what it is for.
        type: its type in words; empty for a flag.
        default: its default in words; empty where it has none.
        choices: all values that it takes, if there are few.
        nargs: `0` for a flag, `?` for a value that may be left out, `+` for several values, else `1`.
        required: whether it must be given.
        open: whether the table cannot judge dotted words below it.
        classes: key of the classes that it takes in `Table.classes`; empty where it takes none.
    """

    name: str
    help: str = ""
    type: str = ""
    default: str = ""
    choices: tuple[str, ...] = ()
    nargs: str = "1"
    required: bool = False
    open: bool = False
    classes: str = ""


@dataclass(frozen=True)
class Class:
    """A class or function that an option may name.

    Attributes:
        paths: all import paths that name it.
        help: what it is.
        arguments: by name.
    """

    paths: tuple[str, ...]
    help: str
    arguments: Mapping[str, Option]


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        help: what it does, in one line.
        description: the same at more length.
        options: by name, without dashes; `settings` has those of a run beside them.
        positionals: in order.
        settings: whether it takes the settings of a run, `Table.settings`, too.
        commands: its own commands, by name.
    """

    help: str
    description: str
    options: Mapping[str, Option]
    positionals: tuple[Option, ...] = ()
    settings: bool = False
    commands: Mapping[str, "Command"] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """All commands.

    Attributes:
        torch: the version of torch whose optimisers are listed.
        commands: by name.
        settings: options of all commands that take the settings of a run.
        classes: by the option that takes them, then by name.
    """

    torch: str
    commands: Mapping[str, Command]
    settings: Mapping[str, Option]
    classes: Mapping[str, Mapping[str, Class]]

    def options(self, command: Command) -> Mapping[str, Option]:
        """Return all options of a command, by name."""
        return {**command.options, **(self.settings if command.settings else {})}

    def knows(self, classes: str) -> bool:
        """Return whether the table has the installed library's classes: optimisers may be another torch's."""
        return classes != "optimizer" or _installed("torch") == self.torch


@functools.cache
def read_table() -> Table:
    """Read the table that is shipped with the package."""
    return parse_table(json.loads(FILE.read_text(encoding="utf-8")))


def parse_table(content: Mapping[str, Any]) -> Table:
    """Return the table of plain values, as `studygroup.door.write` writes them."""
    return Table(
        torch=content["torch"],
        commands={name: _command(one) for name, one in content["commands"].items()},
        settings=_options(content["settings"]),
        classes={
            key: {
                name: Class(tuple(one["paths"]), one["help"], _options(one["arguments"]))
                for name, one in some.items()
            }
            for key, some in content["classes"].items()
        },
    )


def _command(one: Mapping[str, Any]) -> Command:
    return Command(
        help=one["help"],
        description=one["description"],
        options=_options(one["options"]),
        positionals=tuple(_options(one["positionals"]).values()),
        settings=one["settings"],
        commands={name: _command(inner) for name, inner in one["commands"].items()},
    )


def _options(found: list[dict[str, Any]]) -> dict[str, Option]:
    """Return options by name; what is left out has the default of `Option`."""
    made = (Option(**{**one, "choices": tuple(one.get("choices", ()))}) for one in found)
    return {option.name: option for option in made}


def _installed(package: str) -> str:
    """Return the version of an installed package, without importing it; empty where there is none."""
    try:
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        return ""
