"""Write the table of commands from the real parser: `python -m studygroup.door.write`.

A test fails while the file and the parser differ.
"""

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from jsonargparse import ArgumentParser

from studygroup import recipes
from studygroup.cli import WITH_SETTINGS, build_parser
from studygroup.door.table import FILE
from studygroup.files import write_text
from studygroup.training import methods
from studygroup.training.config import add_options
from studygroup.training.settings import Settings
from studygroup.training.trust import known

_TAKEN = {
    "recipe": 0,
    "rate": 0,
    "optimizer": 1,
    "augment": 0,
    "noise": 0,
    "tokenizer": 0,
    "mix": 0,
    "criterion": 0,
}
"""Options that take classes, and how many leading arguments of the classes a run provides itself."""
_PLAIN = re.compile(
    r"(int|float|bool|str|null|Path|Literal|Sequence|Iterable|tuple|list|Optional|Union|'[\w-]*'|\.{3}|[\[\],| ])+"
)
"""Types whose values have no further names below them."""


def table() -> dict[str, Any]:
    """Return the table as plain values, as `studygroup.door.table.parse_table` takes them."""
    settings = ArgumentParser()
    add_options(settings, Settings)
    listed = list(_options(settings))
    shared = [one["name"] for one in listed]
    return {
        "torch": torch.__version__.partition("+")[0],
        "commands": {
            name: _command(one, shared, takes=name in WITH_SETTINGS)
            for name, one in _commands(build_parser()).items()
        },
        "settings": listed,
        "classes": {setting: _classes(setting) for setting in _TAKEN},
    }


def _commands(parser: ArgumentParser) -> dict[str, ArgumentParser]:
    """Return the parsers of a parser's commands, by name."""
    found = (action.choices for action in parser._actions if type(action).__name__ == "ActionSubCommands")
    within: Any = parser._subcommands_action
    return {name: within._name_parser_map[name] for names in found for name in names or ()}


def _command(parser: ArgumentParser, settings: list[str], *, takes: bool = False) -> dict[str, Any]:
    inner = _commands(parser)
    options = list(_options(parser))
    description = parser.description or ""
    return {
        "help": " ".join(description.split("\n")[0].split()),
        "description": description,
        "options": [one for one in options if not (takes and one["name"] in settings)],
        "positionals": list(_options(parser, positionals=True)),
        "settings": takes,
        "commands": {name: _command(one, settings) for name, one in inner.items()},
    }


def _options(
    parser: ArgumentParser, prefix: str = "", *, positionals: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield a parser's options, or its positional arguments, without fields that have the defaults of `Option`."""
    for action in parser._actions:
        name = action.dest.removeprefix(prefix)
        helper = type(action).__name__ in ("_HelpAction", "_ActionPrintConfig", "_ActionHelpClassPath")
        if (
            helper
            or bool(action.option_strings) is positionals
            or type(action).__name__ == "ActionSubCommands"
        ):
            continue
        if action.dest == prefix.rstrip("."):
            continue
        kind = _type(getattr(action, "_typehint", None))
        classes = name if name in _TAKEN and not prefix else ""
        found = {
            "name": name,
            "help": _without_default(" ".join((action.help or "").split()).replace("%%", "%")),
            "type": "" if action.nargs == 0 or classes else kind,
            "default": _default(action.default, of_class=bool(classes)) if action.nargs != 0 else "",
            "choices": _choices(kind),
            "nargs": "1" if action.nargs is None else str(action.nargs),
            "required": bool(action.required),
            "open": not classes and bool(kind) and not _PLAIN.fullmatch(kind),
            "classes": classes,
        }
        yield {k: v for k, v in found.items() if v not in ("", [], False) and (k, v) != ("nargs", "1")}


def _without_default(text: str) -> str:
    """Return a help text without the default that some libraries write into it."""
    return re.sub(r" \(default: [^()]*\)$", "", text)


def _classes(setting: str) -> dict[str, Any]:
    """Return the classes that a setting may name, by their short names."""
    by_name: dict[str, Any] = {}
    for path, some in known()[setting].items():
        abstract = inspect.isabstract(some) or some is torch.optim.Optimizer
        if not path.startswith("_") and not abstract:
            by_name.setdefault(some.__name__, {"paths": [], "some": some})["paths"].append(path)
    return {
        name: {
            "paths": [path for path in found["paths"] if path != name],
            "help": _first_sentence(found["some"]),
            "arguments": list(_arguments(setting, found["some"])),
        }
        for name, found in by_name.items()
    }


def _first_sentence(some: Any) -> str:
    words = " ".join((inspect.getdoc(some) or "").split("\n\n")[0].split())
    return "" if ".. math" in words else words


def _arguments(setting: str, some: Any) -> Iterable[dict[str, Any]]:
    parser = ArgumentParser()
    options: dict[str, Any] = {"fail_untyped": False, "as_positional": False}
    if setting == "recipe":
        given: set[str | int] = set()
        given |= set(inspect.signature(methods.method(some)).parameters) & {"model", "seed", "example", "new"}
        own = getattr(methods, some.__name__).wrapped_function if some.__name__ in recipes.__all__ else some
        parser.add_function_arguments(own, setting, skip=given, **options)
    elif inspect.isclass(some):
        skip: set[str | int] = {_TAKEN[setting]} if _TAKEN[setting] else set()
        parser.add_class_arguments(some, setting, skip=skip, **options)
    return _options(parser, f"{setting}.")


def _type(hint: Any) -> str:
    """Return a type in short words."""
    if hint is None:
        return ""
    text = hint.__name__ if isinstance(hint, type) and not hasattr(hint, "__args__") else str(hint)
    text = re.sub(r"\b(?:typing|collections\.abc|pathlib|torch(?:\.\w+)*|studygroup(?:\.\w+)*)\.", "", text)
    text = text.replace("NoneType", "null").replace("None", "null")
    optional = re.fullmatch(r"Optional\[(.*)\]", text)
    return f"{optional[1]} | null" if optional else text


def _choices(kind: str) -> list[str]:
    """Return all values of a type that has few."""
    if kind == "bool":
        return ["true", "false"]
    literal = re.fullmatch(r"Literal\[(.*)\]", kind)
    return re.findall(r"'([^']*)'", literal[1]) if literal else []


def _default(value: Any, *, of_class: bool = False) -> str:
    """Return a default in short words; a class or function without its module, which the parser shortens at times."""
    if value is None or (isinstance(value, str) and value == "==SUPPRESS=="):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping) and "class_path" in value:
        named = value["class_path"].rpartition(".")[2]
        given = ", ".join(f"{key} {one}" for key, one in value.get("init_args", {}).items())
        return f"{named} with {given}" if given else named
    if isinstance(value, tuple):
        return json.dumps(value)
    return str(value).rpartition(".")[2] if of_class else str(value)


def as_text(content: Mapping[str, Any]) -> str:
    """Return the text of the file that holds what `table` returns."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_text(FILE, as_text(table()))
