"""What a parser says of a mistake, in one line and plain words."""

import argparse
import re
from typing import Any, NoReturn

from jsonargparse import ArgumentParser

_PLAINER = (
    # what only the parser can read: types of functions, and the values of a whole class
    (r"Type \S.{60,}? expects a function or a callable class: ", ""),
    (r"Type \S.{60,}? (?=expects)", "this "),
    (r"\. Got value: Namespace\(.*", ""),
    (
        r"Does not validate against any of the Union subtypes Subtypes: \[(.*)\] Errors: .* "
        r"Given value type: .*? Given value: (.*)",
        r"expected one of \1, got \2",
    ),
    (r"Problem with given class_path '[^']+': (?=Parser key)", ""),
    (r"\": Parser key \"", "."),
    (r"Parser key \"([^\"]+)\":", r"\1:"),
    (r"Expected an? (?=<)", "expected "),
    (r"<(?:class|enum) '([^']+)'>", r"\1"),
    (r"typing\.Literal\[([^\]]*)\]", r"\1"),
    (r"\bNoneType\b", "null"),
    (r"\.*\. Got value: ", ", got "),
)


class MistakeError(SystemExit):
    """A command line is wrong; the program ends with the exit status 2.

    Attributes:
        program: the command whose line it is.
        said: what is wrong, in one line.
    """

    def __init__(self, program: str, said: str) -> None:
        super().__init__(2)
        self.program, self.said = program, said

    def __str__(self) -> str:
        return f"{self.program}: {self.said}\n`{self.program} --help` shows what there is"


class Parser(ArgumentParser):
    """A parser that takes options by their whole names and raises what is wrong, in one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise a `MistakeError` with the message; a parser of a class, which another one asks, raises its own."""
        if not self.exit_on_error:
            super().error(message, ex)
        parser: argparse.ArgumentParser = getattr(ex, "subcommand_parser", None) or self
        raise MistakeError(parser.prog.replace(" [options]", ""), one_line(message))


def one_line(said: str) -> str:
    """Return what a parser says in one line: the dotted key, what it takes and what it was given."""
    line = " ".join(said.split())
    for pattern, plainer in _PLAINER:
        line = re.sub(pattern, plainer, line)
    return line
