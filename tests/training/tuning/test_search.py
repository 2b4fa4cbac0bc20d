"""The command: what is drawn, what is written, what is refused."""

import json
import statistics

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from helpers.small_run import small
from helpers.tunings import SEARCH, run, shown
from studygroup.training import (
    ConfigurationChangedError,
    NonFiniteLossError,
    Settings,
)
from studygroup.training.tuning.results import describe_study


@pytest.mark.slow
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
    events = EventAccumulator(str(tmp_path / f"trial-{best['trial']:04d}" / "tensorboard")).Reload()
    plugin = events.PluginTagToContent(metadata.PLUGIN_NAME)[metadata.SESSION_START_INFO_TAG]
    drawn = metadata.parse_session_start_info_plugin_data(plugin).hparams
    assert {name: value.number_value for name, value in drawn.items()} == pytest.approx(best["values"])
    assert [one.value for one in events.Scalars("holdout/shipped")] == pytest.approx([best["holdout"]])


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


@pytest.mark.slow
def test_a_grid_is_every_combination_once(tmp_path, pretend):
    search = {"epochs": {"low": 1, "high": 3, "step": 1}, "recipe.temperature": [1.0, 2.0]}
    rows = run(tmp_path, search=search, sampler="grid", trials=None).trials
    every = [{"epochs": e, "recipe.temperature": t} for e in (1, 2, 3) for t in (1.0, 2.0)]
    assert sorted((row["values"] for row in rows), key=str) == sorted(every, key=str)
    again = run(tmp_path, search=search, sampler="grid", trials=99)
    assert list(again.trials) == list(rows)
    part = run(tmp_path / "part", search=search, sampler="grid", trials=4)
    assert len({str(row["values"]) for row in part.trials}) == 4


@pytest.mark.slow
def test_a_study_without_any_success_says_so(tmp_path, pretend):
    def training(settings):
        raise NonFiniteLossError("no number")

    pretend(training)
    with pytest.raises(
        ValueError, match=r"no trial is finished(.|\n)*trial 2 failed: NonFiniteLossError: no number"
    ):
        run(tmp_path, trials=3)


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


@pytest.mark.slow
def test_trials_without_their_study_are_not_mixed_with_another(tmp_path, pretend):
    run(tmp_path, trials=1)
    (tmp_path / "study.db").unlink()
    with pytest.raises(ValueError, match="trial-0000 holds trials of something else"):
        run(tmp_path, trials=1)


@pytest.mark.slow
def test_numbers_that_make_no_study_are_refused(tmp_path):
    with pytest.raises(ValueError, match="trials=0"):
        run(tmp_path / "x", trials=0)
    with pytest.raises(ValueError, match="each seed once"):
        run(tmp_path / "x", seeds=[1, 1])
    assert not (tmp_path / "x").exists()
