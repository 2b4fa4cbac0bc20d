"""Processes that run papers side by side end together, however they are stopped."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from helpers.killing import started

HERE = Path(__file__).parent


def wait_until(true):
    ends = time.monotonic() + 120
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.1)


def runs_still(process):
    stat = Path(f"/proc/{process}/stat")
    # one that has ended may stay as a zombie
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


WAYS = {
    "killed": (signal.SIGKILL, -signal.SIGKILL, False, 1),
    "SIGTERM": (signal.SIGTERM, 143, False, 1),
    "SIGTERM to all": (signal.SIGTERM, 143, True, 1),
    "as Ctrl-C in a terminal": (signal.SIGINT, 130, True, 1),
    "twice": (signal.SIGINT, 130, True, 2),
}
OFTEN = ("killed", "as Ctrl-C in a terminal")


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=pytest.mark.slow if way in OFTEN else pytest.mark.long) for way in WAYS]
)
def test_processes_end_with_the_one_that_started_them(tmp_path, way):
    number, status, to_all, times = WAYS[way]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    starter = started(HERE / "waiting_papers.py", tmp_path, start_new_session=True, **pipes)
    wait_until(lambda: len([*tmp_path.glob("*.pid")]) == 2)
    workers = [int(path.stem) for path in tmp_path.glob("*.pid")]
    assert all(map(runs_still, workers))
    for _ in range(times):
        (os.killpg if to_all else os.kill)(starter.pid, number)
        time.sleep(0.1)
    said, _ = starter.communicate()
    assert starter.returncode == status
    if number == signal.SIGKILL:
        wait_until(lambda: not any(map(runs_still, workers)))
    else:
        assert not any(map(runs_still, workers))
        assert said.endswith(f"stopped by {number.name}; call again\n")
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_process_that_was_stopped_is_not_taken_for_done(tmp_path):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    starter = started(HERE / "waiting_papers.py", tmp_path, **pipes)
    wait_until(lambda: len([*tmp_path.glob("*.pid")]) == 2)
    for path in tmp_path.glob("*.pid"):
        os.kill(int(path.stem), signal.SIGTERM)
    said, _ = starter.communicate()
    assert starter.returncode == 1
    assert "2 of 2 processes failed" in said
