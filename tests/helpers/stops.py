"""Works until a signal comes, with `studygroup.stopping` alone, which needs no package: `stops.py CASE`."""

import importlib.util
import multiprocessing
import signal
import sys
import time
from pathlib import Path

PATH = Path(__file__).parents[2] / "src" / "studygroup" / "stopping.py"
SPEC = importlib.util.spec_from_file_location("stopping", PATH)
stopping = importlib.util.module_from_spec(SPEC)
sys.modules["stopping"] = stopping
SPEC.loader.exec_module(stopping)


def wait():
    print("ready", flush=True)
    wait_quietly()


def wait_quietly(seconds=30.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.02)


def at_once():
    wait()


def swallowed():
    """Code in between takes what comes."""
    for turn in range(9):
        try:
            if not turn:
                print("ready", flush=True)
            wait_quietly()
        except BaseException:
            print("swallowed", flush=True)


def quick():
    """An epoch that is nearly done."""
    stopping.finish_first(lambda: 0.3)
    print("ready", flush=True)
    while not stopping.asked():
        time.sleep(0.02)
    time.sleep(0.3)
    print("saved", flush=True)
    stopping.stop_if_asked()
    print("not reached", flush=True)


def slow():
    """An epoch that takes its time."""
    stopping.finish_first(lambda: 60.0)
    wait()


def longer():
    """An epoch that takes longer than it seemed."""
    stopping.finish_first(lambda: 0.1)
    wait()


def failing():
    """Work that fails for the signal, as where a process that loads data got it, too."""
    stopping.finish_first(lambda: 0.1)
    print("ready", flush=True)
    while not stopping.asked():
        time.sleep(0.02)
    raise RuntimeError("a loader process has ended")


def with_child():
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,), daemon=True)
    child.start()
    print(child.pid, flush=True)
    stopping.finish_first(lambda: 0.1)
    wait()


def begin(there):
    there.send(None)
    time.sleep(60)


def child_alone():
    """A forked process ends by itself, and not as if it were this one."""
    there, here = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=begin, args=(there,))
    child.start()
    here.recv()  # what comes while Python forks is lost, whoever handles it
    child.terminate()
    child.join()
    print(child.exitcode, flush=True)


if __name__ == "__main__":
    if sys.argv[2:] == ["patient"]:
        try:
            with stopping.stoppable(patient=True):
                globals()[sys.argv[1]]()
        except stopping.Stopped as stop:
            sys.exit(stop.code)
    if sys.argv[2:] == ["ignored"]:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    case = globals()[sys.argv[1]]
    status = stopping.run_program(stopping.go_on_with("this", "a b"), lambda: case() or 0)
    stopping.end_quietly()
    sys.exit(status)
