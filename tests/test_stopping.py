"""Signals to real processes: what is finished, what is said, with which status it ends, and how soon."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "helpers" / "stops.py"
AGAIN = "go on with\n  this 'a b'\n"


class Run:
    """A case of `stops.py`, which is ready."""

    def __init__(self, *words):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, "-S", SCRIPT, *words], **pipes)
        self.lines = iter(self.process.stdout.readline, "ready\n")
        self.before = list(self.lines)

    def send(self, *signals, pause=0.15):
        self.sent = time.monotonic()
        for number in signals:
            self.process.send_signal(number)
            time.sleep(pause)
        self.out, self.err = self.process.communicate(timeout=60)
        self.took = time.monotonic() - self.sent
        assert "Traceback" not in self.err
        return self.process.returncode


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
@pytest.mark.parametrize("case", ["at_once", "slow"])
def test_what_is_not_quick_is_stopped_at_once(case, number, code):
    run = Run(case)
    assert run.send(getattr(signal, number)) == code
    assert run.err == f"\nstopped by {number}; {AGAIN}"


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_what_is_quick_is_finished(number, code):
    run = Run("quick")
    assert run.send(getattr(signal, number)) == code
    assert run.out == "saved\n"
    assert "is finished first; a second signal stops at once" in run.err
    assert run.err.endswith(f"\nstopped by {number}; {AGAIN}")


def test_what_takes_longer_than_it_seemed_is_stopped():
    run = Run("longer")
    assert run.send(signal.SIGTERM) == 143
    assert 3.5 < run.took < 20
    assert run.err.endswith(AGAIN)


@pytest.mark.slow
def test_a_stop_that_is_swallowed_comes_again_and_at_last_ends_the_process():
    run = Run("swallowed")
    assert run.send(signal.SIGINT) == 130
    assert run.out == 4 * "swallowed\n"
    assert run.err.endswith(AGAIN)


def test_failures_after_the_signal_are_the_signals():
    run = Run("failing")
    assert run.send(signal.SIGTERM) == 143
    assert run.err.endswith(AGAIN)


def test_a_second_signal_ends_the_process_and_its_children_at_once():
    run = Run("with_child")
    (child,) = map(int, run.before)
    os.kill(child, 0)
    assert run.send(signal.SIGINT, signal.SIGINT) == 130
    assert run.took < 3
    assert run.err.endswith(AGAIN)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_further_signals_change_nothing_for_a_patient_process():
    run = Run("quick", "patient")
    assert run.send(signal.SIGTERM, signal.SIGTERM, pause=0.1) == 143
    assert run.out == "saved\n"


def test_ignored_signals_stay_ignored():
    run = Run("quick", "ignored")
    assert run.send(signal.SIGHUP, signal.SIGTERM) == 143
    assert run.err.endswith(f"\nstopped by SIGTERM; {AGAIN}")


def test_a_forked_process_ends_as_any_other():
    run = subprocess.run(
        [sys.executable, "-S", SCRIPT, "child_alone"], capture_output=True, text=True, timeout=60
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{-signal.SIGTERM}\n", "")


def test_the_end_does_not_look_through_everything_once_more():
    """It took two seconds where torch and Lightning are loaded."""
    code = "import atexit, gc; from studygroup import stopping; atexit.register(lambda: print(gc.get_freeze_count()))"
    run = [sys.executable, "-c", f"{code}; stopping.end_quietly()"]
    assert int(subprocess.run(run, capture_output=True, text=True, check=True).stdout) > 1000
