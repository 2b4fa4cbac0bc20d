"""What a stranger might write: each call leaves a mark, a file whose path stands in the environment."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from studygroup.cli import main

MARK = "STUDYGROUP_TEST_MARK"
SECONDS = 60


def mark(*given, **options):
    """Leave the mark, and return what was given first, as an augmentation or a noise would."""
    Path(os.environ[MARK]).touch()
    return given[0] if given else None


class Marks:
    """Leaves the mark when it is built, and when it is called."""

    def __init__(self, **options):
        mark()

    def __call__(self, *given, **options):
        return mark(*given)


class Reduced:
    """Leaves the mark when it is unpickled."""

    def __reduce__(self):
        return (os.system, (f"touch '{os.environ[MARK]}'",))


class LateError(BaseException):
    """Something took too long; no `Exception`, so that no command takes it for an error of its own."""


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Raise `LateError` where something takes longer, even where it waits for a pipe."""

    def late(*_: object) -> None:
        raise LateError(f"longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refused(command, mark, capsys, *, entry=main):
    """Run a command that must fail, soon and without a trace; return what it says."""
    with within(SECONDS):
        try:
            status = entry([str(word) for word in command])
        except SystemExit as end:
            status = end.code
    said = capsys.readouterr()
    assert not mark.exists(), "a stranger's code was executed"
    assert status in (1, 2), f"it was accepted: {said.out[-300:]}"
    assert "Traceback" not in said.err
    return said.err
