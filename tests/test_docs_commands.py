"""Every command of the documentation names options and files that there are."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.pages import ROOT, commands, pages
from studygroup.cli import main

EXAMPLE = "examples/dml.yaml"  # stands in for a configuration that a run would have written
HISTORY = {"docs/migrating.md", "CHANGELOG.md"}  # name commands that are gone
MINE = """from studygroup.training import methods
import studygroup as sg

@methods.register_recipe
def doubting(model, *, weight: float = 0.1):
    return sg.recipes.baseline(model)

from torch import nn

class Focal(nn.Module):
    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
"""  # the module that docs/extending.md and docs/own_parts.md speak of


def of_studygroup() -> Iterator[tuple[str, list[str]]]:
    """The arguments of each call of `studygroup`, with its page."""
    for page in pages():
        for words in commands(page):
            given = words[words.index("studygroup") + 1 :] if "studygroup" in words else []
            named = 1 + (given[:1] == ["analyse"])  # words of the mere name of a command
            if page not in HISTORY and len(given) > named:
                yield page, given


def of_python() -> Iterator[tuple[str, str, list[str]]]:
    """The script or module of each call of `python`, with its page and its arguments."""
    for page in pages():
        for words in commands(page):
            at = next((at for at, word in enumerate(words) if word == "python"), None)
            rest = [] if at is None or page in HISTORY else words[at + 1 :]
            if rest[:1] == ["-m"] and rest[1:] and rest[1] != "pytest":
                yield page, rest[1], rest[2:]
            elif rest and rest[0].endswith(".py"):
                yield page, rest[0], rest[1:]


def with_examples(given: list[str]) -> list[str]:
    """Arguments in which files that only a run of the reader's would write are an example's."""
    found = list(given)
    for at, word in enumerate(given[:-1]):
        if word == "--config" and not (ROOT / given[at + 1]).exists():
            found[at + 1] = EXAMPLE
        if word == "--resume" and given[at + 1] == "RUN":
            found[at : at + 2] = ["--config", EXAMPLE, "--resume"]
    return found


def refusal(given: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What the command line says against some arguments; empty where it takes them. Nothing is run."""
    given = with_examples(given)
    helps = any(word in ("--help", "--version") or word.endswith(".help") for word in given)
    if given[0] != "analyse" and not helps:  # an analysis looks for its run, and finds none
        given = [*given, "--print_config"]
    try:
        status = main(given)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 2
    said = capsys.readouterr()
    parsed = status == 0 or (given[0] == "analyse" and status == 1 and "error: " not in said.err)
    return "" if parsed else f"{' '.join(given)}: {said.err[-300:]}"


@pytest.mark.slow
def test_the_command_line_takes_every_command_of_the_pages(capsys, monkeypatch, tmp_path, unchecked):
    monkeypatch.chdir(ROOT)
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    found = {tuple(given): page for page, given in of_studygroup()}
    assert len(found) >= 40
    refused = [f"{page}: {said}" for given, page in found.items() if (said := refusal([*given], capsys))]
    assert not refused, "\n".join(refused)


def test_an_option_that_there_is_not_would_be_noticed(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert "nothing_like_it" in refusal(["train", "--nothing_like_it", "1"], capsys)
    assert "nothing_like_it" in refusal(["analyse", "flatness", "RUN", "--nothing_like_it", "1"], capsys)


def source(script: str) -> Path:
    """The file of a script, or that of a module's command."""
    if script.endswith(".py"):
        return ROOT / script
    found = importlib.util.find_spec(script)
    assert found is not None, script
    assert found.origin is not None, script
    return Path(found.origin)


def test_every_script_that_the_pages_call_is_there_with_its_options():
    found = list(of_python())
    assert len(found) >= 25
    for page, script, given in found:
        file = source(script)
        assert file.is_file(), f"{page}: {script}"
        texts = [path.read_text() for path in file.parent.glob("*.py")]
        for option in (word.lstrip("-") for word in given if word.startswith("--")):
            name = option.partition("=")[0].removeprefix("no-")
            known = any(name in text or name.replace("-", "_") in text for text in texts)
            assert known, f"{page}: {script} --{name}"
