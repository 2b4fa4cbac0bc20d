"""The program `studygroup`: it minds signals while it imports what its command needs, which takes seconds."""

import sys
from collections.abc import Sequence

from studygroup.stopping import end_quietly, go_on_with, run_program


def main() -> int:
    """Run the program and return its exit status, see `studygroup.cli.main`."""
    given = sys.argv[1:]
    status = run_program(how_to_go_on(given), lambda: _main(given))
    end_quietly()
    return status


def how_to_go_on(given: Sequence[str]) -> str:
    """Return, for a person, how to go on with a command that was stopped.

    Args:
        given: the command line without the program's name.
    """
    again = ["--resume"] if given[:1] == ["train"] and "--resume" not in given else []
    return go_on_with("studygroup", *given, *again)


def _main(given: Sequence[str]) -> int:
    from studygroup.cli import main as run

    return run(given)
