import dataclasses
import functools
import importlib
import json
import sqlite3
import statistics

import optuna
import pytest
import torch
import yaml
from filelock import FileLock
from sqlalchemy.exc import DBAPIError

from helpers.small_run import small
from studygroup.training import (
    ConfigurationChangedError,
    NonFiniteLossError,
    Settings,
    train,
    tune,
)
from studygroup.training.history import read_history
from studygroup.training.module import StudyModule
from studygroup.training.scores import accuracy
from studygroup.training.tuning import sampling, study, trial
from studygroup.training.tuning.space import Space, read_space
from studygroup.training.tuning.work import describe_study

LR = {"optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True}}
SEARCH = LR | {"recipe.temperature": [1.0, 2.0, 4.0]}


@functools.cache
def space_of(settings, search):
    return read_space(Settings.from_config(json.loads(settings)), json.loads(search))


def chosen(space, values, **fixed):
    lr = functools.partial(torch.optim.Adam, lr=values.get("optimizer.lr", 0.0))
    return small(epochs=values.get("epochs", 3), optimizer=lr, **fixed)


@pytest.fixture
def pretend(monkeypatch):
    """Trainings that take no time: their accuracy is a function of the settings, which are not parsed again."""
    tuning = importlib.import_module("studygroup.training.tuning.tune")
    monkeypatch.setattr(
        tuning, "read_space", lambda *both: space_of(json.dumps(both[0].config()), json.dumps(both[1]))
    )
    monkeypatch.setattr(Space, "settings", chosen)

    def use(function):
        def holdout_accuracy(settings, folder, pruning, *, progress_bar):
            return function(settings)

        monkeypatch.setattr(trial, "holdout_accuracy", holdout_accuracy)

    use(lambda settings: settings.optimizer.keywords["lr"])
    return use


def run(folder, *, search=SEARCH, trials=6, settings=None, **options):
    settings = settings or small()
    return tune(settings, search=search, trials=trials, run_dir=folder, progress_bar=False, **options)


def shown(tuned):
    return [(row["state"], row["holdout"], row["values"]) for row in tuned.trials]


def killer(pretend, *moments):
    """Ends the process's work, as a kill would, in the n-th training."""
    begun = []

    def training(settings):
        begun.append(settings)
        if len(begun) in moments:
            raise SystemExit
        return settings.optimizer.keywords["lr"]

    pretend(training)
    return begun


def opened(folder):
    storage = f"sqlite:///{folder}/study.db"
    return optuna.load_study(study_name="studygroup", storage=storage, sampler=sampling.tpe(seed=0))


def database(folder, *commands):
    with sqlite3.connect(folder / "study.db") as connection:
        for command in commands:
            assert connection.execute(command).rowcount > 0


# what a trial is


@pytest.mark.slow
def test_a_trial_is_worth_what_would_ship_on_the_hold_out_rows(tmp_path, monkeypatch):
    load = Settings.load_data

    def without_test_rows(self):
        data = load(self)
        object.__setattr__(data, "test", None)
        return data

    monkeypatch.setattr(Settings, "load_data", without_test_rows)
    search = {"optimizer.lr": [0.003], "recipe.temperature": [4.0]}
    settings = small(epochs=2, select="best")
    tuned = run(
        tmp_path / "tune", settings=settings, search=search, sampler="grid", trials=None, seeds=(0, 3)
    )
    monkeypatch.undo()
    (row,) = tuned.trials
    assert row["state"] == "finished"
    for seed, found in zip((0, 3), row["holdout_seeds"], strict=True):
        config = yaml.safe_load((tmp_path / f"tune/trial-0000/seed-{seed}/config.yaml").read_text())
        assert (config["seed"], config["recipe"]["init_args"]["temperature"]) == (seed, 4.0)
        assert config["optimizer"]["init_args"]["lr"] == 0.003
        alone = train(Settings.from_config(config), run_dir=tmp_path / f"alone-{seed}", progress_bar=False)
        assert found == alone.summary.shipped.holdout
    assert row["holdout"] == statistics.fmean(row["holdout_seeds"])
    assert row["epochs"] == 4
    assert len(read_history(tmp_path / "tune/trial-0000/seed-3/metrics.csv")) == 2
    assert not list((tmp_path / "tune").glob("*/*/checkpoints"))


@pytest.mark.slow
def test_statistics_taken_anew_are_scored_as_they_ship(tmp_path):
    settings = small(epochs=6, holdout=80)  # enough that neither guesses
    tuned = run(
        tmp_path, settings=settings, search={"reestimate_bn": [False, True]}, sampler="grid", trials=None
    )
    found = {row["values"]["reestimate_bn"]: row["holdout"] for row in tuned.trials}
    assert found[False] != found[True]
    again = dataclasses.replace(settings, reestimate_bn=True)
    result = train(again, run_dir=tmp_path / "run", progress_bar=False)
    data = settings.load_data()
    rows = settings.build_datamodule(data).evaluation_batches(data.holdout, torch.device("cpu"))
    assert found[True] == accuracy(result.load(), rows)


def test_the_best_is_written_as_a_configuration(tmp_path, pretend):
    tuned = run(tmp_path)
    best = max(tuned.trials, key=lambda row: row["holdout"])
    assert tuned.best == best
    written = Settings.from_config(yaml.safe_load((tmp_path / "best.yaml").read_text()))
    config = small().config()
    config["optimizer"]["init_args"]["lr"] = best["values"]["optimizer.lr"]
    config["recipe"]["init_args"]["temperature"] = best["values"]["recipe.temperature"]
    assert written.config() == config
    assert json.loads((tmp_path / "trials.json").read_text()) == tuned.trials
    lines = (tmp_path / "trials.md").read_text().splitlines()
    assert lines[0] == "| trial | hold-out | optimizer.lr | recipe.temperature | |"
    assert lines[2].startswith(
        f"| {best['trial']} | {best['holdout']:.2%} | {best['values']['optimizer.lr']:.4g} |"
    )
    words = describe_study(tuned)
    assert f"studygroup train --config {tmp_path}/best.yaml --seed 1 --run_dir {tmp_path}/best-1" in words
    assert f"highest of {len(tuned.trials)}" in words


# what is drawn


@pytest.mark.slow
def test_the_seed_decides_what_is_drawn(tmp_path, pretend):
    first = run(tmp_path / "a", trials=12)
    assert shown(run(tmp_path / "b", trials=12)) == shown(first)
    assert shown(run(tmp_path / "c", trials=12, sampler_seed=1)) != shown(first)
    assert (
        len({row["values"]["optimizer.lr"] for row in first.trials}) == 12
    )  # no two trials draw with one seed


@pytest.mark.slow
def test_tpe_learns(tmp_path, pretend):
    pretend(lambda settings: 1 - abs(settings.optimizer.keywords["lr"] - 0.05))
    rows = run(tmp_path, trials=30, search={"optimizer.lr": {"low": 0.0, "high": 1.0}}).trials
    early, late = ([row["holdout"] for row in part] for part in (rows[:10], rows[20:]))
    assert statistics.fmean(late) > statistics.fmean(early) + 0.2


def test_a_grid_is_every_combination_once(tmp_path, pretend):
    search = {"epochs": {"low": 1, "high": 3, "step": 1}, "recipe.temperature": [1.0, 2.0]}
    rows = run(tmp_path, search=search, sampler="grid", trials=None).trials
    every = [{"epochs": e, "recipe.temperature": t} for e in (1, 2, 3) for t in (1.0, 2.0)]
    assert sorted((row["values"] for row in rows), key=str) == sorted(every, key=str)
    again = run(tmp_path, search=search, sampler="grid", trials=99)
    assert list(again.trials) == list(rows)
    part = run(tmp_path / "part", search=search, sampler="grid", trials=4)
    assert len({str(row["values"]) for row in part.trials}) == 4


def test_values_that_came_before_are_not_trained_again(tmp_path, pretend):
    begun = killer(pretend)
    tuned = run(tmp_path, search={"optimizer.lr": [0.1, 0.2]}, trials=6)
    assert len(begun) == 2
    assert {row["holdout"] for row in tuned.trials} == {0.1, 0.2}
    same = [row for row in tuned.trials if row["same_as"] is not None]
    assert len(same) == 4
    assert all(tuned.trials[row["same_as"]]["values"] == row["values"] for row in same)
    assert f"same values as trial {same[0]['same_as']}" in describe_study(tuned)


# what goes wrong


def test_a_loss_that_is_no_number_is_one_trials_failure(tmp_path):
    settings = small(epochs=1, progress="step", optimizer=functools.partial(torch.optim.SGD, lr=0.01))
    tuned = run(
        tmp_path, settings=settings, search={"optimizer.lr": [1e30, 0.01]}, sampler="grid", trials=None
    )
    by_lr = {row["values"]["optimizer.lr"]: row for row in tuned.trials}
    assert (by_lr[1e30]["state"], by_lr[0.01]["state"]) == ("failed", "finished")
    assert by_lr[1e30]["error"].startswith("NonFiniteLossError: the loss was not finite at update 2")
    assert "failed: NonFiniteLossError" in (tmp_path / "trials.md").read_text()
    assert shown(
        run(tmp_path, settings=settings, search={"optimizer.lr": [1e30, 0.01]}, sampler="grid")
    ) == shown(tuned)


def test_values_that_fit_nothing_end_a_study_only_at_its_beginning(tmp_path, pretend):
    def fits(settings):
        if settings.epochs in broken:
            raise ValueError(f"{settings.epochs} epochs fit nothing")
        return 0.5

    pretend(fits)
    search, broken = {"epochs": [1, 2, 3]}, {1, 2, 3}
    for number in range(2):
        with pytest.raises(ValueError, match=rf"trial {number} \(epochs=\d\): \d epochs fit nothing"):
            run(tmp_path, search=search, sampler="grid", trials=None)
    broken.clear()
    assert sorted(
        row["state"] for row in run(tmp_path, search=search, sampler="grid", trials=None).trials
    ) == [
        "failed",
        "failed",
        "finished",
    ]
    order = [
        row["values"]["epochs"] for row in run(tmp_path, search=search, sampler="grid", trials=None).trials
    ]
    broken.add(order[1])
    rows = run(tmp_path / "later", search=search, sampler="grid", trials=None).trials
    assert [row["state"] for row in rows] == ["finished", "failed", "finished"]


def test_a_study_without_any_success_says_so(tmp_path, pretend):
    def training(settings):
        raise NonFiniteLossError("no number")

    pretend(training)
    with pytest.raises(
        ValueError, match=r"no trial is finished(.|\n)*trial 2 failed: NonFiniteLossError: no number"
    ):
        run(tmp_path, trials=3)


# pruning


def test_the_pruner_ends_a_trial_after_an_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "median", lambda epochs: optuna.pruners.ThresholdPruner(lower=2.0))
    settings = small(epochs=2)
    kept = run(tmp_path / "kept", settings=settings, search=LR, trials=1, prune=False)
    with pytest.raises(ValueError, match=r"no trial is finished(.|\n)*pruned after 1 epoch, "):
        run(tmp_path / "pruned", settings=settings, search=LR, trials=1)
    row = json.loads((tmp_path / "pruned" / "trials.json").read_text())[0]
    (epoch,) = read_history(tmp_path / "pruned/trial-0000/seed-0/metrics.csv")
    assert (row["state"], row["epochs"], row["holdout"]) == ("pruned", 1, None)
    assert row["last"] == max(epoch.holdout)
    assert row["values"] == kept.trials[0]["values"]
    assert (kept.trials[0]["state"], kept.trials[0]["epochs"]) == ("finished", 2)


def test_what_is_behind_the_median_is_pruned_after_five_trials_and_a_fifth_of_the_epochs():
    made = optuna.create_study(direction="maximize", pruner=sampling.median(20))
    said = []
    for number in range(7):
        ask = made.ask()
        for epoch in range(1, 21):
            ask.report(-number, epoch)
            if ask.should_prune():
                said.append((number, epoch))
                made.tell(ask, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            made.tell(ask, -number)
    assert said == [(5, 4), (6, 4)]


def test_reports_are_means_over_the_seeds_so_far(tmp_path):
    run(tmp_path, settings=small(epochs=2), search=LR, trials=1, seeds=(0, 5))
    found = opened(tmp_path).trials[0]
    first, second = (read_history(tmp_path / f"trial-0000/seed-{seed}/metrics.csv") for seed in (0, 5))
    done = first[1].holdout_best
    assert found.intermediate_values == {
        1: first[0].holdout_best,
        2: done,
        3: pytest.approx((done + second[0].holdout_best) / 2),
        4: pytest.approx((done + second[1].holdout_best) / 2),
    }


# interruptions


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
def test_an_interrupted_trial_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    settings = small(epochs=2)
    whole = run(tmp_path / "whole", settings=settings, search=LR, trials=1)
    step, steps = StudyModule.training_step, []

    def training_step(self, batch, batch_idx):
        steps.append(self.global_step)
        if len(steps) == 5:  # in the second epoch, after three updates
            raise SystemExit
        return step(self, batch, batch_idx)

    monkeypatch.setattr(StudyModule, "training_step", training_step)
    with pytest.raises(SystemExit):
        run(tmp_path / "cut", settings=settings, search=LR, trials=1)
    again = run(tmp_path / "cut", settings=settings, search=LR, trials=1)
    assert steps == [0, 1, 2, 3, 4, 3, 4, 5]
    assert list(again.trials) == list(whole.trials)
    assert again.trials[0]["epochs"] == 2


def test_what_always_interrupts_is_given_up(tmp_path, pretend):
    killer(pretend, *range(1, 6))
    for _ in range(5):
        with pytest.raises(SystemExit):
            run(tmp_path, trials=2)
    rows = run(tmp_path, trials=2).trials
    assert [row["state"] for row in rows] == ["failed", "finished"]
    assert rows[0]["error"] == "interrupted 5 times without finishing another epoch"


# several processes


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


def test_one_more_than_asked_for_gives_way_and_waits_for_more_to_be_asked(tmp_path, pretend):
    whole = run(tmp_path / "whole", trials=5)
    run(tmp_path / "part", trials=3)
    begun = killer(pretend)
    space = space_of(json.dumps(small().config()), json.dumps(SEARCH))
    lock = FileLock(tmp_path / "lock")
    objective = trial.Objective(space, [0], tmp_path / "part", 3, lock, False)
    # as a process elsewhere does that asks at the same time
    opened(tmp_path / "part").optimize(objective, n_trials=1, catch=trial.GaveWayError)
    assert len(run(tmp_path / "part", trials=3).trials) == 3
    assert begun == []
    assert shown(run(tmp_path / "part", trials=5)) == shown(whole)


def test_a_trial_whose_process_is_silent_and_alive_is_left_to_it(tmp_path, pretend):
    begun = killer(pretend, 1)
    with pytest.raises(SystemExit):
        run(tmp_path, trials=1)
    study.requeue(opened(tmp_path), trials=1, folder=tmp_path)
    with study.try_lock(tmp_path / "trial-0000"):
        for _ in range(2):  # queued before, then interrupted
            assert [row["state"] for row in run(tmp_path, trials=1).trials] == ["interrupted"]
    assert len(begun) == 1
    assert [row["state"] for row in run(tmp_path, trials=1).trials] == ["finished"]


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


def test_a_trial_that_never_said_whose_it_is_is_taken_over_in_time(tmp_path, pretend, monkeypatch):
    def killed(folder):
        raise SystemExit

    monkeypatch.setattr(trial, "sign", killed)
    with pytest.raises(SystemExit):
        run(tmp_path, trials=2)
    monkeypatch.undo()
    pretend(lambda settings: 0.5)
    assert [row["state"] for row in run(tmp_path, trials=2).trials] == ["running", "finished"]
    database(tmp_path, "UPDATE trials SET datetime_start = '2020-01-01 00:00:00.0' WHERE state = 'RUNNING'")
    assert [row["state"] for row in run(tmp_path, trials=2).trials] == ["finished"] * 2


# what cannot be continued


@pytest.mark.slow
def test_more_trials_may_be_asked_for_and_nothing_else_changed(tmp_path, pretend):
    first = run(tmp_path, trials=2)
    more = run(tmp_path, trials=4)
    assert list(more.trials[:2]) == list(first.trials)
    assert len(more.trials) == 4
    assert len(run(tmp_path, trials=2, settings=small(workers=1)).trials) == 4
    for changed, said in (
        (
            {"search": SEARCH | {"recipe.temperature": [1.0, 3.0]}},
            r"search\.recipe\.temperature: \[1\.0, 2\.0, 4\.0\] there",
        ),
        ({"settings": small(epochs=9)}, "epochs: 3 there, 9 now"),
        ({"seeds": [1]}, r"seeds: \[0\] there, \[1\] now"),
        ({"sampler_seed": 3}, "sampler_seed: 0 there, 3 now"),
    ):
        with pytest.raises(ConfigurationChangedError, match=said):
            run(tmp_path, **changed)


def test_trials_without_their_study_are_not_mixed_with_another(tmp_path, pretend):
    run(tmp_path, trials=1)
    (tmp_path / "study.db").unlink()
    with pytest.raises(ValueError, match="trial-0000 holds trials of something else"):
        run(tmp_path, trials=1)


def test_several_studies_share_a_storage(tmp_path, pretend):
    storage = f"sqlite:///{tmp_path}/shared.db"
    first = run(tmp_path / "a", trials=2, storage=storage, study="one")
    second = run(tmp_path / "b", trials=2, storage=storage, study="two", search=LR)
    assert [len(row["values"]) for row in (*first.trials, *second.trials)] == [2, 2, 1, 1]
    elsewhere = run(tmp_path / "c", trials=2, storage=storage, study="one")
    assert list(elsewhere.trials) == list(first.trials)
    assert (tmp_path / "c" / "best.yaml").read_text() == (tmp_path / "a" / "best.yaml").read_text()


@pytest.mark.parametrize(
    "storage", ["sqlite:////nowhere/at/all/study.db", "nonsense", "no+driver://user:secret@host/x"]
)
def test_a_storage_that_cannot_be_opened_is_said(tmp_path, pretend, storage):
    with pytest.raises(ValueError, match="storage cannot be opened") as error_info:
        run(tmp_path, storage=storage)
    assert "secret" not in str(error_info.value)


def test_whom_another_process_forestalls_tries_again(tmp_path, pretend, monkeypatch):
    connect, failures = study.RDBStorage, [DBAPIError("CREATE TABLE", {}, Exception("it exists"))] * 2

    def storage(*args, **options):
        if failures:
            raise failures.pop()
        return connect(*args, **options)

    monkeypatch.setattr(study, "RDBStorage", storage)
    assert len(run(tmp_path, trials=1).trials) == 1
    assert failures == []


def test_numbers_that_make_no_study_are_refused(tmp_path):
    with pytest.raises(ValueError, match="trials=0"):
        run(tmp_path / "x", trials=0)
    with pytest.raises(ValueError, match="each seed once"):
        run(tmp_path / "x", seeds=[1, 1])
    assert not (tmp_path / "x").exists()
