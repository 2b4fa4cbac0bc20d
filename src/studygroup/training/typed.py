"""A command line as typed: what it allows, which files it reads, and which names stand on it itself."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studygroup.door.words import is_option, split_allowed
from studygroup.training.by_path import BY_PATH
from studygroup.training.dotted import texts
from studygroup.training.migrate import upgraded
from studygroup.training.read_yaml import TooLargeError, parse_yaml, read_yaml
from studygroup.training.settings import NEVER_NULL, TEXTS
from studygroup.training.trust import PARTS, check_config, known, reading
from studygroup.trust import NotAllowedError

_FILE = "--config"
_NAMES_MORE = ("search", "model_options", "data_options", *BY_PATH, *PARTS)


@dataclass(frozen=True)
class Typed:
    """A command line.

    Attributes:
        words: all words but those that allow something.
        allowed: the names that are allowed.
    """

    words: tuple[str, ...]
    allowed: tuple[str, ...]

    def names(self) -> set[str]:
        """Return the texts that stand on the command line where a class or function may stand."""
        found: set[str] = set()
        for option, value, _ in _pairs(self.words):
            name = option.removeprefix("--").partition(".")[0]
            if name in known() or name in _NAMES_MORE or (option == _FILE and not os.path.lexists(value)):
                found.update(texts(_parsed(value)))
            if name in PARTS:
                found.update(_keys(_parsed(value)))
        return found

    def check(self) -> None:
        """Refuse values that the parser would follow without end.

        Raises:
            ValueError: names the option whose value is too large, or holds itself.
        """
        for option, value, _ in _pairs(self.words):
            try:
                _parsed(value)
            except TooLargeError as error:
                raise ValueError(f"the value of {option} cannot be read: {error}") from error

    def files(self) -> dict[str, Any]:
        """Return the content of every `--config` file, upgraded to this version and checked, by its path.

        Raises:
            NotAllowedError: a file names code that nobody allowed, or is a pipe.
            ValueError: a file cannot be read as a configuration.
        """
        found = {}
        for option, value, _ in _pairs(self.words):
            if option == _FILE and os.path.lexists(value):
                found[value] = self._file(Path(value))
        return found

    def _file(self, path: Path) -> Any:
        try:
            content = read_yaml(path)
        except NotAllowedError:
            raise
        except (OSError, ValueError) as error:
            said = " ".join(str(error).split())
            raise ValueError(f"{_FILE} {path} cannot be read as a configuration: {said}") from error
        if not isinstance(content, dict):
            what = "empty" if content is None else f"a {type(content).__name__}"
            raise ValueError(f"{_FILE} {path} is {what}, where settings stand by names")
        content = upgraded(content)
        self._check_nulls(path, content)
        with reading(path, content, typed=self.names()):
            check_config(content, path)
        return content

    def _check_nulls(self, path: Path, content: Mapping[str, Any]) -> None:
        """Refuse settings that a file leaves empty, unless the command line has them."""
        typed = {option.removeprefix("--") for option, _, _ in _pairs(self.words)}
        for name in content.keys() & NEVER_NULL - typed:
            if content[name] is None:
                raise ValueError(f"{path}: {name} is null; give a value, or leave it out")

    def place_of(self, said: str, files: Mapping[str, Any]) -> str:
        """Return the file, and a colon, whose value an error begins with; nothing where it was typed."""
        key = said.partition(" ")[0]
        if key in {option.rpartition(".")[2].removeprefix("--") for option, _, _ in _pairs(self.words)}:
            return ""
        return next((f"{path}: " for path, content in files.items() if key in _keys(content)), "")

    def rewritten(self, files: dict[str, str]) -> list[str]:
        """Return the words with the content of some `--config` files in the place of their paths."""
        words = list(self.words)
        for option, value, place in _pairs(self.words):
            if option == _FILE and value in files:
                words[place] = (f"{_FILE}=" if "=" in words[place] else "") + files[value]
        return words


def read_typed(given: Sequence[str]) -> Typed:
    """Read a command line.

    Raises:
        ValueError: it resumes a run that is not there, see `with_run`.
    """
    words, allowed = split_allowed(given)
    return Typed(tuple(with_run(words)), tuple(allowed))


def with_run(words: Sequence[str]) -> list[str]:
    """Return the words of `train --resume RUN` with the run's own configuration and folder; others as they are.

    The configuration comes as a file, `--config`, which may name only what is allowed.

    Raises:
        ValueError: there is no run in the folder, or another folder is given, too.
    """
    place = next((at for at, word in enumerate(words) if word.partition("=")[0] == "--resume"), None)
    if place is None or words[0] != "train":
        return list(words)
    _, equals, run = words[place].partition("=")
    if not equals and place + 1 < len(words) and not is_option(words[place + 1]):
        run = words[place + 1]
    if not run or (run.lower() in ("true", "false") and not os.path.lexists(run)):  # the flag alone
        return list(words)
    others = [*words[1:place], *words[place + (1 if equals else 2) :]]
    if any(word.partition("=")[0] == "--run_dir" for word in others):
        raise ValueError(f"--resume {run} names the run folder, and so does --run_dir; give one of them")
    config = Path(run) / "config.yaml"
    if not os.path.lexists(config):
        raise ValueError(
            f"{run} holds no run that could go on: {config.name} is missing; give the folder of a run, or begin one "
            f"there with --run_dir {run}"
        )
    return [words[0], f"{_FILE}={config}", f"--run_dir={run}", *others, "--resume"]


def without_settings(words: Sequence[str], settings: Collection[str]) -> tuple[list[str], dict[str, Any]]:
    """Return the words of a command without the settings among them, and these as plain values by name.

    Args:
        words: of the command line.
        settings: names of all settings; `NAME.ARGUMENT` belongs to its setting.
    """
    left: list[str] = []
    found: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        option, equals, value = word.partition("=")
        name = option.removeprefix("--")
        if not word.startswith("--") or name.partition(".")[0] not in settings:
            left.append(word)
            continue
        if not equals:
            value = rest.pop(0) if rest and not is_option(rest[0]) else "true"
        found[name] = value if name in TEXTS else _parsed(value)
    return left, found


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    """Yield every option, its value, and the place of the value."""
    for place, word in enumerate(words):
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            if equals:
                yield option, value, place
            elif place + 1 < len(words):
                yield option, words[place + 1], place + 1


def _keys(value: Any) -> Iterator[str]:
    """Yield all keys in a plain value."""
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _keys(inner)
    if isinstance(value, dict):
        yield from map(str, value)


def _parsed(text: str) -> Any:
    try:
        return parse_yaml(text)
    except TooLargeError:
        raise
    except ValueError:
        return text
