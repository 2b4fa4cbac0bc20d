"""A study: interruptions, and several processes at once."""

import json

import optuna
import pytest
from filelock import FileLock
from sqlalchemy.exc import DBAPIError

from helpers.small_run import small
from helpers.tunings import LR, SEARCH, database, killer, opened, run, shown, space_of
from studygroup.training.tuning import study, trial
from studygroup.training.tuning.results import describe_study


@pytest.mark.slow
def test_a_killed_study_ends_as_if_it_had_not_been(tmp_path, pretend):
    whole = run(tmp_path / "whole", trials=12)
    begun = killer(pretend, 3, 4, 12)
    for _ in range(3):
        with pytest.raises(SystemExit):
            run(tmp_path / "killed", trials=12)
    tuned = run(tmp_path / "killed", trials=12)
    assert shown(tuned) == shown(whole)
    assert len(begun) == 12 + 3
    assert begun[2].config() == begun[3].config() == begun[4].config()  # the same trial, twice killed


@pytest.mark.slow
def test_a_killed_grid_is_still_every_combination_once(tmp_path, pretend):
    search = {"epochs": [1, 2, 3], "recipe.temperature": [1.0, 2.0]}
    begun = killer(pretend, 1, 4, 8)
    for _ in range(3):
        with pytest.raises(SystemExit):
            run(tmp_path, search=search, sampler="grid", trials=None)
    rows = run(tmp_path, search=search, sampler="grid", trials=None).trials
    assert len({str(row["values"]) for row in rows}) == len(rows) == 6
    assert len(begun) == 6 + 3


@pytest.mark.slow
def test_what_always_interrupts_is_given_up(tmp_path, pretend):
    killer(pretend, *range(1, 6))
    for _ in range(5):
        with pytest.raises(SystemExit):
            run(tmp_path, trials=2)
    rows = run(tmp_path, trials=2).trials
    assert [row["state"] for row in rows] == ["failed", "finished"]
    assert rows[0]["error"] == "interrupted 5 times without finishing another epoch"


@pytest.mark.slow
def test_processes_share_one_study_and_stop_together(tmp_path, pretend):
    inner = []

    def training(settings):
        if not inner:  # another process comes while this one trains
            inner.append(None)
            inner[0] = run(tmp_path, trials=5)
        return settings.optimizer.keywords["lr"]

    pretend(training)
    outer = run(tmp_path, trials=5)
    assert [row["state"] for row in inner[0].trials] == ["running"] + ["finished"] * 4
    assert inner[0].unfinished == 1
    assert "In the hands of other processes: 1." in describe_study(inner[0])
    assert [row["state"] for row in outer.trials] == ["finished"] * 5
    assert outer.unfinished == 0


@pytest.mark.slow
def test_one_more_than_asked_for_gives_way_and_waits_for_more_to_be_asked(tmp_path, pretend):
    whole = run(tmp_path / "whole", trials=5)
    run(tmp_path / "part", trials=3)
    begun = killer(pretend)
    space = space_of(json.dumps(small().config()), json.dumps(SEARCH))
    lock = FileLock(tmp_path / "lock")
    objective = trial.Objective(
        space, [0], study.samplers("tpe", space, seed=0), tmp_path / "part", 3, lock, False
    )
    # as a process elsewhere does that asks at the same time
    opened(tmp_path / "part").optimize(objective, n_trials=1, catch=trial.GaveWayError)
    assert len(run(tmp_path / "part", trials=3).trials) == 3
    assert begun == []
    assert shown(run(tmp_path / "part", trials=5)) == shown(whole)


@pytest.mark.slow
def test_a_trial_whose_process_is_silent_and_alive_is_left_to_it(tmp_path, pretend):
    begun = killer(pretend, 1)
    with pytest.raises(SystemExit):
        run(tmp_path, trials=1)
    assert study.queue_next(opened(tmp_path), trials=1, folder=tmp_path)
    with study.try_lock(tmp_path / "trial-0000"):
        for _ in range(2):  # queued before, then interrupted
            assert [row["state"] for row in run(tmp_path, trials=1).trials] == ["interrupted"]
    assert len(begun) == 1
    assert [row["state"] for row in run(tmp_path, trials=1).trials] == ["finished"]


@pytest.mark.slow
def test_a_trial_of_another_machine_is_taken_over_when_its_heart_has_stopped(tmp_path, pretend, monkeypatch):
    killer(pretend, 2)
    monkeypatch.setattr(study.platform, "node", lambda: "elsewhere")
    with pytest.raises(SystemExit):
        run(tmp_path, trials=3)
    monkeypatch.undo()
    killer(pretend)
    tuned = run(tmp_path, trials=3)
    assert [row["state"] for row in tuned.trials] == ["finished", "running", "finished"]
    database(tmp_path, "UPDATE trial_heartbeats SET heartbeat = '2020-01-01 00:00:00'")
    assert [row["state"] for row in run(tmp_path, trials=3).trials] == ["finished"] * 3


@pytest.mark.slow
def test_a_trial_whose_process_died_while_it_began_is_not_missing_at_the_end(tmp_path, pretend, monkeypatch):
    def killed(folder):
        raise SystemExit

    whole = run(tmp_path / "whole", trials=2)
    for moment in ("identity", "try_lock"):  # before it says whose it is, and before it has its folder
        with monkeypatch.context() as patch:
            patch.setattr(trial, moment, killed)
            with pytest.raises(SystemExit):
                run(tmp_path / moment, trials=2)
        assert shown(run(tmp_path / moment, trials=2)) == shown(whole)


@pytest.mark.slow
def test_a_trial_that_was_queued_and_not_begun_is_run(tmp_path, pretend, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "optimize", lambda *_, **__: exec("raise SystemExit"))
        with pytest.raises(SystemExit):
            run(tmp_path / "cut", trials=2)
    assert [one.state.name for one in opened(tmp_path / "cut").trials] == ["WAITING"]
    assert shown(run(tmp_path / "cut", trials=2)) == shown(run(tmp_path / "whole", trials=2))


@pytest.mark.slow
def test_several_studies_share_a_storage(tmp_path, pretend):
    storage = f"sqlite:///{tmp_path}/shared.db"
    first = run(tmp_path / "a", trials=2, storage=storage, study="one")
    second = run(tmp_path / "b", trials=2, storage=storage, study="two", search=LR)
    assert [len(row["values"]) for row in (*first.trials, *second.trials)] == [2, 2, 1, 1]
    elsewhere = run(tmp_path / "c", trials=2, storage=storage, study="one")
    assert list(elsewhere.trials) == list(first.trials)
    assert (tmp_path / "c" / "best.yaml").read_text() == (tmp_path / "a" / "best.yaml").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    "storage", ["sqlite:////nowhere/at/all/study.db", "nonsense", "no+driver://user:secret@host/x"]
)
def test_a_storage_that_cannot_be_opened_is_said(tmp_path, pretend, storage):
    with pytest.raises(ValueError, match="storage cannot be opened") as error_info:
        run(tmp_path, storage=storage)
    assert "secret" not in str(error_info.value)


@pytest.mark.slow
def test_damaged_attributes_of_a_study_are_told_with_its_file(tmp_path, pretend):
    run(tmp_path, trials=1)
    database(tmp_path, "UPDATE study_user_attributes SET value_json = '[[['")
    with pytest.raises(RuntimeError, match=r"study\.db can no longer be read or written \(JSONDecodeError"):
        run(tmp_path, trials=2)


@pytest.mark.slow
def test_whom_another_process_forestalls_tries_again(tmp_path, pretend, monkeypatch):
    connect, failures = study.RDBStorage, [DBAPIError("CREATE TABLE", {}, Exception("it exists"))] * 2

    def storage(*args, **options):
        if failures:
            raise failures.pop()
        return connect(*args, **options)

    monkeypatch.setattr(study, "RDBStorage", storage)
    assert len(run(tmp_path, trials=1).trials) == 1
    assert failures == []
