"""A trial: what it is worth, what ends it early, what is its own failure."""

import dataclasses
import functools
import json
import statistics

import optuna
import pytest
import torch
import yaml

from helpers.small_run import small
from helpers.tunings import LR, TUNE, killer, opened, run, shown
from studygroup.training import (
    Settings,
    train,
)
from studygroup.training.history import read_history
from studygroup.training.module import StudyModule
from studygroup.training.scores import accuracy
from studygroup.training.tuning import study
from studygroup.training.tuning.results import describe_study


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_pruner_ends_a_trial_after_an_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr(TUNE, "median_pruner", lambda epochs: optuna.pruners.ThresholdPruner(lower=2.0))
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


@pytest.mark.slow
def test_what_is_behind_the_median_is_pruned_after_five_trials_and_a_fifth_of_the_epochs():
    made = optuna.create_study(direction="maximize", pruner=study.median_pruner(20))
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
    assert said == [(5, 5), (6, 5)]  # a fifth are four


@pytest.mark.slow
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


@pytest.mark.slow
def test_values_that_came_before_are_not_trained_again(tmp_path, pretend):
    begun = killer(pretend)
    tuned = run(tmp_path, search={"optimizer.lr": [0.1, 0.2]}, trials=6)
    assert len(begun) == 2
    assert {row["holdout"] for row in tuned.trials} == {0.1, 0.2}
    same = [row for row in tuned.trials if row["same_as"] is not None]
    assert len(same) == 4
    assert all(tuned.trials[row["same_as"]]["values"] == row["values"] for row in same)
    assert f"same values as trial {same[0]['same_as']}" in describe_study(tuned)
