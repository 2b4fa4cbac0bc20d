"""Refusals before torch is imported: unknown names at every depth, impossible values, missing words."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from studygroup.door.table import Class, Command, Option, Table
from studygroup.door.words import Given, Words
from studygroup.naming import did_you_mean, near

_BARE = ("recipe", "rate", "optimizer")
"""Options whose classes go by their bare names."""
_YAML = {"null", "none", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan", "infinity"}
_LONGEST = 2**18  # characters of a configuration file that are searched for the classes that it names


def check_words(command: Command, words: Words, table: Table, *, name: str) -> None:
    """Refuse words behind a command that the real parser would refuse, or accept silently and undo.

    Raises:
        ValueError: names the word, the reason, and similar words.
    """
    _check_order(words)
    options = table.options(command)
    for given in words.options:
        _check_option(given, command, words, table, name=name)
    if not words.named() & {"config", "print_config"}:
        _check_missing(command, options, words)
    if command.positionals and command.positionals[-1].nargs != "+":
        further = words.positionals[len(command.positionals) :]
    else:
        further = () if command.positionals else words.positionals
    if further:
        meant = [f"--{further[0]}"] if further[0].partition("=")[0] in options else []
        raise ValueError(f"{further[0]!r} is one word too many{_or(meant)}")


def _check_order(words: Words) -> None:
    """Refuse an argument of a class that precedes the class, whose defaults would overwrite it."""
    names = [given.name for given in words.options]
    for at, name in enumerate(names):
        later = next((other for other in names[at:] if name.startswith(f"{other}.")), None)
        if later is not None:
            raise ValueError(f"--{name} stands before --{later}, which would undo it; put --{later} first")


def _check_missing(command: Command, options: Mapping[str, Option], words: Words) -> None:
    for some in command.positionals[len(words.positionals) :]:
        raise ValueError(f"{some.name.upper()} is missing: {some.help}")
    heads = {name.partition(".")[0] for name in words.named()}
    for some in options.values():
        if some.required and some.name not in heads:
            raise ValueError(f"--{some.name} is missing: {some.help}")


def _check_option(given: Given, command: Command, words: Words, table: Table, *, name: str) -> None:
    """Check the name of an option, and its value as far as possible."""
    options = table.options(command)
    if given.name == "print_config" and "config" in options:
        return
    head, _, rest = given.name.partition(".")
    option: Option | None = options.get(head)
    if option is None or given.name[:1] == "-":
        raise ValueError(_unknown(given, command, words, table, name=name))
    if rest == "help" and option.classes:
        return
    if rest and option.classes:
        option = _argument(given.name, rest, option, words, table)
    elif rest:
        if not option.open:
            raise ValueError(f"there is no option --{given.name}: --{head} has no arguments of its own")
        return
    if option is not None:
        _check_value(given, option, table)


def _argument(name: str, rest: str, of: Option, words: Words, table: Table) -> Option | None:
    """Return the argument of a class; None where only the real parser can judge it.

    Raises:
        ValueError: the class is known and has no such argument.
    """
    if rest.startswith("init_args."):
        rest = rest.removeprefix("init_args.")
    if rest in ("class_path", "init_args") or rest.startswith("dict_kwargs"):
        return None
    chosen = chosen_class(of, words, table)
    if chosen is None:
        return None
    known = table.classes[of.classes]
    arguments = known[chosen].arguments
    first, _, deeper = rest.partition(".")
    found = arguments.get(first)
    if found is None:
        meant = _or([f"--{of.name}.{one}" for one in near(first, arguments)])
        raise ValueError(
            f"{of.name} {chosen} has no argument --{name}{meant or _others(first, known)} "
            f"(`--{of.name}.help {chosen}` lists its own)"
        )
    if not deeper:
        return found
    if not found.open:
        raise ValueError(f"there is no option --{name}: --{of.name}.{first} has no arguments of its own")
    return None


def _others(first: str, known: Mapping[str, Class]) -> str:
    having = [name for name, some in known.items() if first in some.arguments]
    return f"; {', '.join(having)} {'has' if len(having) == 1 else 'have'} it" if having else ""


def chosen_class(option: Option, words: Words, table: Table) -> str | None:
    """Return the name of the class that an option has on a command line; None where the table does not know it."""
    if not table.knows(option.classes):
        return None
    typed = [one.value for one in words.options if one.name in (option.name, f"{option.name}.class_path")]
    if typed:
        return _named(typed[-1] or "", table.classes[option.classes])
    names: set[str | None] = {_named(option.default.partition(" ")[0], table.classes[option.classes])}
    for given in words.options:
        if given.name in ("config", "configs"):
            names = _in_files(given.value or "", option, table) or names
    return names.pop() if len(names) == 1 else None


def _named(text: str, known: Mapping[str, Class]) -> str | None:
    return next((name for name, some in known.items() if text == name or text in some.paths), None)


def _in_files(value: str, option: Option, table: Table) -> set[str | None]:
    """Return the classes that configuration files name; nothing where they leave it open, None for an unknown one.

    The files are searched, not read: what is not written plainly is unknown.
    """
    known = table.classes[option.classes]
    paths = [value] if not value.startswith("[") else [one.strip("'\" ") for one in value[1:-1].split(",")]
    found: set[str | None] = set()
    for path in paths:
        try:
            text = Path(path).read_text(encoding="utf-8") if Path(path).is_file() else value
        except (OSError, ValueError):
            return {None}
        if len(text) > _LONGEST or "<<" in text or "\n---" in text:
            return {None}
        pattern = rf"^{option.name}:[ \t]*(?:\n[ \t]+class_path:[ \t]*)?([\w.]+)[ \t]*(?:#.*)?$"
        named = re.findall(pattern, text, re.MULTILINE)
        if not named and option.name not in text:
            if len(paths) > 1:
                found.add(_named(option.default.partition(" ")[0], known))
            continue
        found.add(_named(named[0], known) if len(named) == 1 else None)
    return found


def _check_value(given: Given, option: Option, table: Table) -> None:
    """Refuse a missing value, or a word where only a number or one of a few words is valid."""
    value = given.value
    if value is None:
        if option.nargs == "1":
            raise ValueError(f"--{given.name} needs a value: {option.help}")
        return
    if not value.isidentifier() or value.lower() in _YAML:
        return
    known = list(option.choices)
    if option.classes in _BARE and option.classes == given.name and table.knows(option.classes):
        known = [name for name in table.classes[option.classes] if name[0] != "_"]
    if known and value not in known:
        raise ValueError(
            f"--{given.name} {value} is not known{did_you_mean(value, known)}; there are {', '.join(known)}"
        )
    if set(option.type.split(" | ")) <= {"int", "float", "null"} and option.type:
        kind = "whole number" if "float" not in option.type else "number"
        raise ValueError(f"--{given.name} is {value!r}; give a {kind}")
    if given.name == "config" and not Path(value).exists():
        raise ValueError(f"--config {value}: there is no such file")


def _unknown(given: Given, command: Command, words: Words, table: Table, *, name: str) -> str:
    """Return the message for an option that the command does not have."""
    bare = given.name.lstrip("-")
    word = f"-{given.name.lstrip('-')}" if given.name[:1] == "-" else f"--{given.name}"
    options = table.options(command)
    alike = _alike(bare, options, words, table)
    if alike:
        return f"there is no option {word}{_or(alike)}"
    elsewhere = [
        other for other, some in table.commands.items() if bare.partition(".")[0] in table.options(some)
    ]
    if elsewhere:
        return f"`{name}` has no option {word}; {', '.join(elsewhere)} {'has' if len(elsewhere) == 1 else 'have'} it"
    return f"there is no option {word}"


def _alike(bare: str, options: Mapping[str, Option], words: Words, table: Table) -> list[str]:
    """Return options, and arguments of classes, that may have been meant, the likeliest first."""
    leaf = bare.rpartition(".")[2]
    dotted = list(_dotted(options, words, table))
    same = [name for name in dotted if name.rpartition(".")[2] == leaf.replace("-", "_")]
    meant = near(leaf, dict.fromkeys(name.rpartition(".")[2] for name in dotted))
    alike = near(bare, options) or [name for name in dotted if name.rpartition(".")[2] in meant]
    return [f"--{name}" for name in dict.fromkeys(same or alike)][:3]


def _dotted(options: Mapping[str, Option], words: Words, table: Table) -> Iterator[str]:
    """Yield options and the arguments of the classes that they have; after those, the arguments of all others."""
    yield from options
    taking = [option for option in options.values() if option.classes]
    for option in taking:
        chosen = chosen_class(option, words, table)
        if chosen is not None:
            yield from (f"{option.name}.{one}" for one in table.classes[option.classes][chosen].arguments)
    for option in taking:
        for some in table.classes[option.classes].values():
            yield from (f"{option.name}.{one}" for one in some.arguments)


def _or(names: Sequence[str]) -> str:
    return f"; did you mean {' or '.join(names)}?" if names else ""
