"""Stop at a signal: first finish what is quick to finish, say how to go on, and end with the signal's exit status.

This module imports the standard library alone, so that a program can mind signals before it imports anything else.
"""

import gc
import multiprocessing
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

PATIENCE = 2.0
"""Seconds within which work must be finished to be finished before a stop."""
_REMINDERS = 3  # a raised `Stopped` that code in between swallowed is raised again so often
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_ALARM = (signal.SIGALRM,) if hasattr(signal, "setitimer") else ()


class Stopped(BaseException):
    """Work was stopped by a signal; not an `Exception`, so that nothing takes it for a failure of the work.

    Attributes:
        signal: the signal.
    """

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(f"stopped by {self.signal.name}")

    @property
    def code(self) -> int:
        """The exit status: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + self.signal


@dataclass
class _Watch:
    """The state of the outermost `stoppable`.

    Attributes:
        process: where it was entered; a forked process inherits the handlers and not the task.
        words: how to go on, for a person, or a function that tells it once it is needed.
        patient: whether further signals change nothing.
        asked: the signal that asked to stop.
        seconds_left: estimates how long the work takes that is to be finished first; None if there is no such work.
        reminders: how often `Stopped` was raised again.
    """

    process: int
    words: str | Callable[[], str]
    patient: bool
    asked: int | None = None
    seconds_left: Callable[[], float] | None = None
    reminders: int = 0


_watch: _Watch | None = None


@contextmanager
def stoppable(words: str = "", *, patient: bool = False) -> Iterator[None]:
    """Within the context, SIGINT, SIGTERM and SIGHUP raise `Stopped`, at once or after the work of `finish_first`.

    A second signal ends the process and its children at once. Signals that are ignored, as SIGHUP under `nohup`, stay
    so. Nested in another one, or outside the main thread, the context does nothing.

    Args:
        words: printed when it was stopped; how to go on.
        patient: whether further signals change nothing, for a process whose parent decides how long it waits.

    Raises:
        Stopped: a signal came.
    """
    global _watch
    if threading.current_thread() is not threading.main_thread() or _is_here():
        yield
        return
    before = {number: signal.getsignal(number) for number in (*_SIGNALS, *_ALARM)}
    _watch = watch = _Watch(os.getpid(), words, patient)
    try:
        mind()
        yield
        stop_if_asked()
    except Exception:
        stop_if_asked()  # such as a loader process that got the signal, too
        raise
    finally:
        _remind(0)
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        _watch = None
        if watch.asked is not None:
            _say(watch)


@contextmanager
def interruptible(words: str) -> Iterator[None]:
    """Be `stoppable` as Python code expects it: raise `KeyboardInterrupt` for SIGINT, else `SystemExit`."""
    outermost = not _is_here()
    try:
        with stoppable(words):
            yield
    except Stopped as stop:
        if not outermost:
            raise
        raise (KeyboardInterrupt() if stop.signal == signal.SIGINT else SystemExit(stop.code)) from None


def run_program(words: str, work: Callable[[], int]) -> int:
    """Return the exit status of a program's work, or that of the signal that stopped it, see `stoppable`."""
    outermost = not _is_here()
    try:
        with stoppable(words):
            return work()
    except Stopped as stop:
        if not outermost:
            raise
        return stop.code


def go_on_with(*command: str) -> str:
    """Return, for a person, the command that goes on."""
    return f"go on with\n  {shlex.join(command)}"


def go_on_by(words: Callable[[], str | None]) -> None:
    """Replace what the context says of how to go on: `words` are asked once it was stopped; None changes nothing."""
    if _watch is not None and _is_here():
        before = _watch.words
        _watch.words = lambda: words() or (before if isinstance(before, str) else before())


def end_quietly() -> None:
    """Let signals end the process without a traceback from now on, and soon; for the last line of a program.

    What torch and Lightning leave behind is not looked through for garbage once more, which takes seconds.
    """
    gc.freeze()
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def mind() -> None:
    """Install the handlers of the context, again where another library has replaced them."""
    if not _is_here() or threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _on_signal)


def asked() -> bool:
    """Return whether a signal has asked to stop."""
    return _watch is not None and _is_here() and _watch.asked is not None


def stop_if_asked() -> None:
    """Stop, if a signal has asked to.

    Raises:
        Stopped: a signal has.
    """
    if _watch is not None and _is_here() and _watch.asked is not None:
        raise Stopped(_watch.asked)


def finish_first(seconds_left: Callable[[], float] | None) -> None:
    """Name work that is to be finished before a stop if that takes at most `PATIENCE`; it then calls `stop_if_asked`.

    Args:
        seconds_left: estimates how long it takes, called in the signal's handler; None where there is none any more.
    """
    if _watch is not None and _is_here() and threading.current_thread() is threading.main_thread():
        _watch.seconds_left = seconds_left


def _is_here() -> bool:
    return _watch is not None and _watch.process == os.getpid()


def _on_signal(number: int, frame: FrameType | None) -> None:
    watch = _watch
    if watch is None or watch.process != os.getpid():  # a forked process
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    if watch.asked is not None:
        if not watch.patient:
            _end(watch)
        return
    watch.asked = number
    left = None if watch.seconds_left is None else watch.seconds_left()
    if left is not None and left <= PATIENCE:
        name = signal.Signals(number).name
        _write(f"\n{name}: the epoch at hand is finished first; a second signal stops at once\n")
        _remind(2 * PATIENCE)
        return
    _remind(PATIENCE)
    raise Stopped(number)


def _on_reminder(number: int, frame: FrameType | None) -> None:
    """Raise `Stopped` again where it was swallowed, or its work took too long; at last, end the process."""
    watch = _watch
    if watch is None or watch.asked is None or watch.process != os.getpid():
        return
    watch.reminders += 1
    if watch.reminders > _REMINDERS:
        _end(watch)
    if not isinstance(sys.exc_info()[1], Stopped):  # else it is on its way
        raise Stopped(watch.asked)


def _remind(seconds: float) -> None:
    """Have `_on_reminder` called after some seconds, and then every `PATIENCE`; 0 is never."""
    if _ALARM:
        if seconds:
            signal.signal(signal.SIGALRM, _on_reminder)
        signal.setitimer(signal.ITIMER_REAL, seconds, PATIENCE if seconds else 0.0)


def _end(watch: _Watch) -> None:
    """End this process and its children."""
    assert watch.asked is not None
    children = multiprocessing.active_children()
    for child in children:
        child.kill()
    for child in children:
        child.join(1.0)
    _say(watch)
    os._exit(128 + watch.asked)


def _say(watch: _Watch) -> None:
    assert watch.asked is not None
    words = watch.words if isinstance(watch.words, str) else watch.words()
    if words:
        _write(f"\nstopped by {signal.Signals(watch.asked).name}; {words}\n")


def _write(words: str) -> None:
    """Write to stderr, past Python's buffer, which the signal may have interrupted."""
    try:
        os.write(2, words.encode())
    except OSError:  # such as a terminal that is gone
        return
