"""The words of a command line, sorted into options with their values and the rest."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_NUMBER = re.compile(r"-[\d.]")
_ALLOW = "--allow"


@dataclass(frozen=True)
class Given:
    """An option on the command line.

    Attributes:
        name: without dashes, and without the `+` that appends to a list.
        value: its value; None where there is none.
    """

    name: str
    value: str | None


@dataclass(frozen=True)
class Words:
    """The words behind the command.

    Attributes:
        options: in order.
        positionals: all words that belong to no option.
    """

    options: tuple[Given, ...]
    positionals: tuple[str, ...]

    def named(self) -> set[str]:
        """Return the names of all options."""
        return {one.name for one in self.options}


def split_allowed(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words without those that allow something, and what is allowed."""
    words, allowed, left = [], [], iter(given)
    for word in left:
        if word == _ALLOW:
            allowed += next(left, "").split(",")
        elif word.startswith(f"{_ALLOW}="):
            allowed += word.partition("=")[2].split(",")
        else:
            words.append(word)
    return words, allowed


def is_option(word: str) -> bool:
    """Return whether a parser takes a word for an option, not for a value: no number, and a name without spaces."""
    return len(word) > 1 and word[0] == "-" and not _NUMBER.match(word) and " " not in word.partition("=")[0]


def sort_words(words: Sequence[str], nargs: Callable[[str], str]) -> Words:
    """Sort the words behind a command; `nargs` maps an option to how many values it takes: `0`, `?` or `1`."""
    options: list[Given] = []
    positionals: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            positionals += left
            break
        if not is_option(word):
            positionals.append(word)
            continue
        start, equals, value = word.partition("=")
        name = start.removeprefix("--").removesuffix("+") if start.startswith("--") else start
        takes = nargs(name)
        if not equals and takes != "0" and left and not is_option(left[0]):
            equals, value = "=", left.pop(0)
        options.append(Given(name, value if equals else None))
    return Words(tuple(options), tuple(positionals))
