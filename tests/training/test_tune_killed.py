"""A tuning that is killed goes on to the trials of the one that was not, and processes share a study."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from killed_tuning import SEARCH
from small_run import small

from studygroup.training import tune

HERE = Path(__file__).parent
COMMAND = [sys.executable, HERE / "killed_tuning.py"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The trials of a tuning that was never killed, in this process."""
    folder = tmp_path_factory.mktemp("whole") / "tune"
    return tune(small(epochs=2), search=SEARCH, trials=4, run_dir=folder, progress_bar=False).trials


@pytest.mark.slow
def test_kill_and_go_on(whole, tmp_path):
    # six updates a trial: in the second epoch of trial 2; three later, which end it, in the first of trial 3
    for update in (2 * 6 + 5, 3 + 2):
        assert (
            subprocess.run([*COMMAND, tmp_path, str(update)], cwd=HERE, check=False).returncode
            == -signal.SIGKILL
        )
    assert [path.name for path in (tmp_path / "trial-0002").glob("*/checkpoints")] == []
    assert len(list((tmp_path / "trial-0003").glob("seed-0/config.yaml"))) == 1
    assert subprocess.run([*COMMAND, tmp_path, "0"], cwd=HERE, check=False).returncode == 0
    assert json.loads((tmp_path / "trials.json").read_text()) == whole


@pytest.mark.slow
def test_two_processes_do_the_trials_of_one(whole, tmp_path):
    both = [subprocess.Popen([*COMMAND, tmp_path, "0"], cwd=HERE) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    rows = json.loads((tmp_path / "trials.json").read_text())
    assert [row["state"] for row in rows] == ["finished"] * 4
    # the first ten trials are drawn at random, by their numbers alone
    assert [(row["values"], row["holdout"]) for row in rows] == [
        (row["values"], row["holdout"]) for row in whole
    ]
