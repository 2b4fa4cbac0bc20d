"""Give minutes to phases, and cut off what is running when they are over."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any


class OutOfTimeError(Exception):
    """The time is over."""


_AGAIN = 1.0
"""Seconds after which a signal whose exception was dropped is repeated."""


class Clock:
    """Count down from a number of seconds, until `left` is 0."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left, negative afterwards."""
        return self._end - time.monotonic()


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Raise `OutOfTimeError` inside after so many seconds, above 0, by a signal; no effect outside the main thread.

    The signal is repeated every second until the block ends, because Python drops exceptions raised inside the
    callback of a weak reference or a finaliser, where the signal may happen to arrive.

    Raises:
        OutOfTimeError: the time is over.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise OutOfTimeError(f"{seconds:.0f} s are over")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def work_through(
    items: Mapping[str, Callable[[], Mapping[str, Any]]],
    clock: Clock,
    write: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Measure one item after another until the time is over; an error is recorded, and the next item follows.

    `write` is given the part so far after every item.

    Returns:
        `results` by name (a failed item has only its `error`), `not_done` (names), and the phase's `seconds`.
    """
    start, given = time.monotonic(), clock.left
    part: dict[str, Any] = {"seconds_given": round(given, 1), "results": {}, "not_done": list(items)}
    for name, measure in items.items():
        left = clock.left
        if left <= 0:
            break
        try:
            with limit(left):
                result = dict(measure())
        except OutOfTimeError:
            break
        except Exception as error:
            result = {"error": f"{type(error).__name__}: {error}"[:500]}
        part["results"][name] = result
        part["not_done"].remove(name)
        part["seconds"] = round(time.monotonic() - start, 1)
        write(part)
    part["seconds"] = round(time.monotonic() - start, 1)
    write(part)
    return part
