"""A tuning that is killed goes on to the trials of the one that was not, and processes share a study."""

import json
import signal

import pytest

from helpers.killed_tuning import SEARCH
from helpers.killing import HELPERS, started
from helpers.small_run import small
from studygroup.training import tune


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The trials of a tuning that was never killed, in this process."""
    folder = tmp_path_factory.mktemp("whole") / "tune"
    return tune(small(epochs=2), search=SEARCH, trials=4, run_dir=folder, progress_bar=False).trials


def run(folder, database, update=0):
    return started(HELPERS / "killed_tuning.py", folder, f"sqlite:///{database}", str(update))


@pytest.mark.slow
def test_kill_and_go_on(whole, tmp_path):
    folder, database = tmp_path / "tune", tmp_path / "study.db"
    # six updates a trial: in the second epoch of trial 2; three later, which end it, in the first of trial 3
    for update in (2 * 6 + 5, 3 + 2):
        assert run(folder, database, update).wait() == -signal.SIGKILL
    assert list((folder / "trial-0002").glob("*/checkpoints")) == []
    assert (folder / "trial-0003" / "seed-0" / "config.yaml").exists()
    assert run(folder, database).wait() == 0
    assert json.loads((folder / "trials.json").read_text()) == whole


@pytest.mark.slow
@pytest.mark.parametrize("folders", [("one", "one"), ("one", "two")], ids=["one folder", "as two machines"])
def test_two_processes_do_the_trials_of_one(whole, tmp_path, folders):
    both = [run(tmp_path / name, tmp_path / "study.db") for name in folders]
    assert [process.wait() for process in both] == [0, 0]
    tables = [json.loads((tmp_path / name / "trials.json").read_text()) for name in set(folders)]
    last = max(tables, key=lambda rows: sum(row["state"] == "finished" for row in rows))
    # the first ten trials are drawn at random, by their numbers alone
    assert [(row["values"], row["holdout"]) for row in last] == [
        (row["values"], row["holdout"]) for row in whole
    ]


@pytest.mark.slow
def test_so_they_do_where_one_call_starts_them(whole, tmp_path):
    folder = tmp_path / "tune"
    found = tune(small(epochs=2), search=SEARCH, trials=4, run_dir=folder, jobs=2, progress_bar=False)
    assert [(row["values"], row["holdout"]) for row in found.trials] == [
        (row["values"], row["holdout"]) for row in whole
    ]
