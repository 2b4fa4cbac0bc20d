"""The table says what the real parser says, and the front door refuses nothing that the parser accepts."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from studygroup.cli import build_parser
from studygroup.door import answer
from studygroup.door.table import FILE, Command, Option, read_table
from studygroup.door.write import table
from studygroup.training.typed import without_settings

ROOT = Path(__file__).parents[2]
VALUES = {"int": "1", "float": "0.5", "str": "a", "bool": "true", "Path": "a"}
MADE = {
    "tuple[int, int] | null": "[8, 8]",
    "dict[str, Any]": "{a: [1]}",
    "dict[str, Any] | null": "{a: 1}",
    "list[Any] | null": "[a.b]",
    "Sequence[str | Mapping[str, Any]]": "[RandAugment]",
    "Sequence[str]": "[a]",
    "Sequence[int]": "[1]",
    "Iterable[str] | null": "[a]",
    "Iterable[str | tuple[str, ...]] | null": "[a, [b, c]]",
    "Mapping[str | tuple[str, ...], Sequence[int]]": "{a: [0, 1]}",
    "Module | str": "runs/teacher",
    "Literal['max', 'min'] | null": "max",
}


def test_the_table_is_the_parsers():
    kept, there = json.loads(FILE.read_text(encoding="utf-8")), json.loads(json.dumps(table()))
    if torch.__version__.partition("+")[0] != kept["torch"]:  # whose optimisers are others
        for one in (kept, there):
            del one["torch"], one["classes"]["optimizer"]
    assert kept == there, "python -m studygroup.door.write writes the table anew"


def words(option: Option, prefix: str = "") -> list[str]:
    """Return an option with a value that it takes."""
    if option.nargs in ("0", "?"):
        return [f"--{prefix}{option.name}"]
    value = option.choices[-1] if option.choices else option.default
    if not value or option.classes:
        value = MADE.get(option.type) or next((v for kind, v in VALUES.items() if kind in option.type), "")
    return [f"--{prefix}{option.name}={value}"]


def lines() -> Iterator[list[str]]:
    """Yield, for every command, a line with all of its options, and for every class one with all its arguments."""
    found = read_table()

    def of(called: list[str], command: Command) -> Iterator[list[str]]:
        if command.commands:
            for name, one in command.commands.items():
                yield from of([*called, name], one)
            return
        options = [
            o for o in found.options(command).values() if not o.classes and o.name not in ("config", "allow")
        ]
        yield [*called, *(word for o in options for word in words(o)), *(o.name for o in command.positionals)]

    for name, command in found.commands.items():
        yield from of([name], command)
    for setting, classes in found.classes.items():
        for name, one in classes.items():
            called = name if setting in ("recipe", "rate", "optimizer") else one.paths[0]
            # a tensor has no word on a command line
            typed = (o for o in one.arguments.values() if "Tensor" not in o.type)
            given = [word for option in typed for word in words(option, f"{setting}.")]
            yield ["train", f"--{setting}={called}", *given]


@pytest.mark.slow
def test_what_the_parser_accepts_the_door_lets_in():
    parser, found = build_parser(), read_table().settings
    checked = 0
    for line in lines():
        compared = without_settings(line, found)[0] if line[0] == "compare" else line
        parser.parse_args(compared)  # exits where it refuses a word
        assert answer(line) is None, line
        checked += len(line)
    assert checked > 400


@pytest.mark.parametrize("command", ["train", "tune"])
def test_the_examples_and_what_is_laid_over_them_are_let_in(command):
    paths = sorted((ROOT / "examples").glob("*.yaml"))
    assert len(paths) > 15
    for path in paths:
        search = ["--search.recipe.temperature", "[1.0, 2.0]"] if command == "tune" else []
        assert (
            answer([command, "--config", str(path), *search, "--epochs", "3", "--optimizer.lr", "-1e-3"])
            is None
        )


def test_what_the_documentation_types_is_let_in(monkeypatch):
    monkeypatch.chdir(ROOT)
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    typed = [
        line
        for page in pages
        for line in re.findall(r"^(?:\$ )?studygroup (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    checked = 0
    for line in typed:
        if "..." not in line and ".help" not in line and not line.endswith(("\\", "{")) and "'{" not in line:
            found = answer(shlex.split(line, comments=True))
            assert found is None, (line, found)
            checked += 1
    assert checked > 25
