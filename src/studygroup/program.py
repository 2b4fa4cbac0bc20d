"""The program `studygroup`: it answers mistyped words at once, and minds signals while it imports what is needed."""

import sys
from collections.abc import Sequence

from studygroup.door import enter
from studygroup.extras import extra_of, not_installed
from studygroup.stopping import end_quietly, go_on_with, run_program

_TRAINS = ("train", "reproduce", "compare", "tune")


def main() -> int:
    """Run the program and return its exit status, see `studygroup.cli.main`."""
    given = sys.argv[1:]
    enter(given)
    status = run_program(how_to_go_on(given), lambda: _main(given))
    end_quietly()
    return status


def how_to_go_on(given: Sequence[str]) -> str:
    """Return, for a person, how to go on with a command that was stopped."""
    again = (
        ["--resume"]
        if given[:1] in (["train"], ["reproduce"]) and not any(word.startswith("--resume") for word in given)
        else []
    )
    return go_on_with("studygroup", *given, *again)


def _main(given: Sequence[str]) -> int:
    if sys.stderr.isatty():  # seconds of silence else
        what = "torch and Lightning" if given[0] in _TRAINS else "torch"
        print(f"studygroup {given[0]}: loading {what} ...", file=sys.stderr, flush=True)
    try:
        from studygroup.cli import main as run

        return run(given)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        extra = extra_of(package)
        if extra is None:
            raise
        print(not_installed(f"studygroup {given[0]}", package, extra), file=sys.stderr)
        return 1
