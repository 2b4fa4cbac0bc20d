"""What the searches of the regimes come to: the last fifth of the epochs of every trial that finished."""

import json

import pytest

from reproduction.benchmarks.regime_searches import table, trials

COLUMNS = (
    "epoch,updates,seconds,cpu_seconds,rows_per_second,lr,imitation_weight,loss,holdout_mean,holdout_best"
)


@pytest.fixture
def folder(tmp_path):
    """A search of two trials of ten epochs: accuracy rises by a point an epoch; the second was ended early."""
    ended = {
        "trial": 1,
        "state": "pruned",
        "holdout": None,
        "epochs": 3,
        "last": 0.12,
        "values": {"lr": 0.2},
        "holdout_seeds": [],
    }
    done = {
        "trial": 0,
        "state": "finished",
        "holdout": 0.2,
        "epochs": 10,
        "last": 0.2,
        "values": {"lr": 0.1},
        "holdout_seeds": [0.2],
    }
    (tmp_path / "trials.json").write_text(json.dumps([done, ended]))
    run = tmp_path / "trial-0000" / "seed-0"
    run.mkdir(parents=True)
    head = f"{COLUMNS},holdout_ensemble,holdout_diversity,holdout_disagreement,supervised_0,imitation_0,holdout_0"
    lines = []
    for epoch in range(1, 11):
        held = 0.1 + epoch / 100
        lines.append(f"{epoch},{epoch},1,1,10,0.1,0,{2 - epoch / 10},{held},{held},{held},0,0,1,0,{held}")
    (run / "metrics.csv").write_text("\n".join([head, *lines, ""]))
    return tmp_path


def test_the_last_fifth_has_its_mean_and_its_change(folder):
    done, ended = trials(folder)
    assert done["last_fifth"] == pytest.approx((0.19 + 0.20) / 2)
    assert done["late_change"] == pytest.approx(2.0)
    assert done["training_loss"] == pytest.approx(1.0)
    assert ended["last"] == 0.12
    assert "last_fifth" not in ended


def test_only_finished_trials_are_in_the_table(folder):
    assert table(trials(folder)).splitlines()[2:] == ["| 0.1 | 19.5 | +2.0 | 20.0 | 1.00 |"]


def test_words_are_values_too(folder):
    (one, _) = trials(folder)
    named = one | {"values": {"recipe.source_statistic": "flatten", "recipe.pull_push": 0.01}}
    assert table([named]).splitlines()[2:] == ["| flatten | 0.01 | 19.5 | +2.0 | 20.0 | 1.00 |"]


def test_several_seeds_are_refused(folder):
    trial, ended = json.loads((folder / "trials.json").read_text())
    (folder / "trials.json").write_text(json.dumps([trial | {"holdout_seeds": [0.2, 0.3]}, ended]))
    with pytest.raises(ValueError, match=r"trial 0 of .* has several seeds; search with one"):
        trials(folder)
