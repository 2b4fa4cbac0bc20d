"""The front door: answers to `--help`, `--version` and mistyped words."""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from studygroup import __version__
from studygroup.door.refusals import check_words, chosen_class
from studygroup.door.table import Class, Command, Option, Table, read_table
from studygroup.door.words import is_option, sort_words, split_allowed
from studygroup.naming import near
from studygroup.untrusted import printable

_HELP = ("-h", "--help")


@dataclass(frozen=True)
class Answer:
    """An exception that ends the program at once.

    Attributes:
        status: the exit status.
        out: printed on the standard output.
        err: printed on the standard error.
    """

    status: int
    out: str = ""
    err: str = ""


def enter(given: Sequence[str]) -> None:
    """Answer a command line at once, if it asks for help or has a mistyped word; else do nothing.

    Raises:
        SystemExit: it was answered; 0 after help, 2 after a mistake.
    """
    found = answer(given)
    if found is not None:
        print(found.out, end="")
        print(printable(found.err), end="", file=sys.stderr)
        raise SystemExit(found.status)


def answer(given: Sequence[str]) -> Answer | None:
    """Return the answer to a command line; None for one that goes on to the real parser."""
    table = read_table()
    words, _ = split_allowed(given)
    if not words:
        return Answer(2, err=_main_help(table))
    if words[0] in _HELP:
        return Answer(0, out=_main_help(table))
    if words[0] in ("-V", "--version"):
        return Answer(0, out=f"studygroup {__version__}\n")
    if is_option(words[0]):
        return _mistake(
            "studygroup", f"{words[0]} stands before the command; the command comes first", "studygroup"
        )
    return _of_command("studygroup", words, table.commands, table)


def _of_command(
    program: str, words: Sequence[str], commands: Mapping[str, Command], table: Table
) -> Answer | None:
    """Answer a command line that begins with the name of a command."""
    name, *rest = words
    if name not in commands:
        alike = near(name, commands)
        meant = f"; did you mean {' or '.join(alike)}?" if alike else f"; there are {', '.join(commands)}"
        return _mistake(program, f"there is no command {name!r}{meant}", program)
    command, called = commands[name], f"{program} {name}"
    if command.commands and rest[:1] and not is_option(rest[0]):
        return _of_command(called, rest, command.commands, table)
    options = table.options(command)
    before = rest[: rest.index("--")] if "--" in rest else rest
    if any(word in _HELP for word in before):
        return Answer(0, out=_command_help(called, command, table))
    if command.commands:
        what = f"{rest[0]} stands before" if rest else "it needs"
        return _mistake(called, f"{what} one of {', '.join(command.commands)}", called)
    sorted_words = sort_words(rest, lambda option: _nargs(option, options))
    for asked in sorted_words.options:
        option = options.get(asked.name.removesuffix(".help"))
        if option is not None and option.classes and asked.name == f"{option.name}.help":
            some = table.classes[option.classes]
            chosen = asked.value or (
                chosen_class(option, sorted_words, table) if option.name in sorted_words.named() else None
            )
            found = next((key for key, one in some.items() if chosen in (key, *one.paths)), None)
            if table.knows(option.classes) and (chosen is None or found is not None):
                text = (
                    _class_help(called, option, found, some) if found else _classes_help(called, option, some)
                )
                return Answer(0, out=text)
            return None
    try:
        check_words(command, sorted_words, table, name=name)
    except ValueError as error:
        return _mistake(called, str(error), called)
    return None


def _nargs(name: str, options: Mapping[str, Option]) -> str:
    if name in ("print_config", "h", "-h"):
        return "0"
    return "?" if name.endswith(".help") else options[name].nargs if name in options else "1"


def _mistake(program: str, said: str, shows: str) -> Answer:
    return Answer(2, err=f"{program}: {said}\n`{shows} --help` shows what there is\n")


def _main_help(table: Table) -> str:
    return (
        "usage: studygroup COMMAND ...\n\nTrain students together, ship one plain network.\n\n"
        f"commands:\n{_entries(table.commands)}\n"
        "`studygroup COMMAND --help` tells more of a command. Begin with\n"
        "  studygroup train                             a first run on small pictures, half a minute\n"
        "  studygroup train --recipe.help               the methods\n"
        "  studygroup train --recipe cgl --data FOLDER  one of them on data of your own\n"
    )


def _entries(some: Mapping[str, Command] | Mapping[str, Class]) -> str:
    """Return a list of names and what they are."""
    parser = _parser("", "")
    for name, one in some.items():
        parser.add_argument(name, help=_escaped(one.help))
    return parser.format_help().rpartition("positional arguments:\n")[2]


def _command_help(called: str, command: Command, table: Table) -> str:
    names = [option.name.upper() for option in command.positionals]
    usage = [called, *(["COMMAND ..."] if command.commands else []), "[OPTIONS]", *names]
    parser = _parser(" ".join(usage), command.description)
    for some in command.positionals:
        parser.add_argument(some.name.upper(), help=_escaped(some.help))
    _add(parser.add_argument_group("options"), command.options.values())
    if command.settings:
        _add(parser.add_argument_group("all settings that determine a run"), table.settings.values())
    text = parser.format_help()
    if command.commands:
        text += f"\ncommands:\n{_entries(command.commands)}"
    if command.settings:
        text += f"\nArguments of a recipe: `{called} --recipe.help cgl`; likewise --optimizer.help and --rate.help.\n"
    return text


def _classes_help(called: str, option: Option, some: Mapping[str, Class]) -> str:
    first = next(iter(some))
    return (
        f"--{option.name} takes\n{_entries(some)}\n`{called} --{option.name}.help {first}` lists its arguments. "
        f"The default is {option.default}.\n"
    )


def _class_help(called: str, option: Option, name: str, some: Mapping[str, Class]) -> str:
    parser = _parser(f"{called} --{option.name} {name} [--{option.name}.ARGUMENT ...]", some[name].help)
    given = some[name].arguments.values()
    _add(parser.add_argument_group("arguments"), given, prefix=f"{option.name}.")
    return parser.format_help() if given else parser.format_help().rstrip() + "\n\nIt has no arguments.\n"


def _parser(usage: str, description: str) -> argparse.ArgumentParser:
    """Return a parser that only writes help."""
    return argparse.ArgumentParser(
        prog="studygroup",
        usage=_escaped(usage),
        description=_escaped(description),
        add_help=False,
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=28),
    )


def _add(group: argparse._ArgumentGroup, options: Iterable[Option], *, prefix: str = "") -> None:
    for option in options:
        said = ", ".join(
            part
            for part in (
                option.type if not option.choices else "",
                f"default: {option.default}" if option.default else "",
                "required" if option.required else "",
            )
            if part
        )
        text = _escaped(f"{option.help} ({said})" if said else option.help)
        if option.nargs == "0":
            group.add_argument(f"--{prefix}{option.name}", action="store_true", help=text)
            continue
        metavar = "{" + ",".join(option.choices) + "}" if option.choices else option.name.upper()
        nargs = "?" if option.nargs == "?" else None
        group.add_argument(f"--{prefix}{option.name}", metavar=metavar, nargs=nargs, help=text)


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
