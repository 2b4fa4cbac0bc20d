"""Criterion, metrics, callbacks, loggers, augmentations and schedulers of one's own."""

import functools
import math

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger
from torchmetrics import F1Score

from helpers import own_parts
from helpers.small_run import small as tiny
from helpers.small_run import whole_and_resumed
from studygroup.data import CutMix, MixUp, TorchVision
from studygroup.training import Settings, TimmRate, TorchRate, methods, train
from studygroup.training.history import read_history
from studygroup.trust import NotAllowedError, allowing

pytestmark = pytest.mark.slow  # whole runs

small = functools.partial(tiny, train_rows=100)  # three updates an epoch


def same(one, other):
    a, b = one.load().state_dict(), other.load().state_dict()
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_with_parts_of_ones_own_counts_logs_and_resumes_exactly(tmp_path):
    own_parts.Kept.runs, own_parts.Seen.seen = [], []
    settings = small(
        criterion=functools.partial(own_parts.Focal, gamma=1.5),
        metrics={"f1": functools.partial(F1Score, average="macro"), "right": own_parts.Right},
        callbacks=[own_parts.Seen, functools.partial(EarlyStopping, monitor="holdout_mean", patience=9)],
        loggers=[functools.partial(own_parts.Kept, label="mine")],
        augment=TorchVision(transforms=["RandAugment", {"RandomErasing": {"p": 0.5}}]),
        mix=CutMix(),
        rate=TorchRate("StepLR", {"step_size": 1, "gamma": 0.5}),
    )
    whole, resumed = whole_and_resumed(settings, tmp_path)
    assert same(whole, resumed)
    kept = yaml.safe_load((tmp_path / "whole/config.yaml").read_text())
    assert kept["criterion"]["init_args"] == {"gamma": 1.5}
    assert kept["metrics"]["right"] == "helpers.own_parts.Right"
    rows = read_history(whole.folder.metrics)
    assert [row.lr / rows[0].lr for row in rows] == [1, 0.5, 0.25]
    for row in rows:  # a metric that is accuracy agrees with what the run counts itself
        assert [row.metrics[f"right_{k}"] for k in range(3)] == pytest.approx(row.holdout)
        assert row.metrics["right_ensemble"] == pytest.approx(row.ensemble)
    found = whole.summary.metrics
    assert found["right"].test.students == pytest.approx(whole.summary.test.students)
    assert found["right"].shipped == pytest.approx(whole.summary.shipped.test)
    assert found["f1"].holdout.ensemble == pytest.approx(rows[-1].metrics["f1_ensemble"])
    assert found == resumed.summary.metrics
    whole.folder.summary.unlink()  # as if it had been killed while it was scored
    assert (
        train(settings, run_dir=whole.folder.path, resume=True, progress_bar=False).summary.metrics == found
    )
    assert [seen["holdout_mean"] for seen in own_parts.Seen.seen[:3]] == pytest.approx(
        [row.holdout_mean for row in rows]
    )
    logger = next(one for one in own_parts.Kept.runs if one.lines)
    assert logger.label == "mine"
    assert logger.settings["batch_size"] == 20
    assert [step for step, line in logger.lines if "holdout/f1_0" in line] == [1, 2, 3]
    with allowing("helpers.own_parts", "lightning.pytorch.callbacks"):
        again = Settings.from_config(kept, where=tmp_path / "whole/config.yaml")
    assert again.config() == settings.config() | {"precision": "32-true"}  # as it was chosen for digits


def test_a_run_that_a_callback_ends_stays_ended_when_it_is_resumed(tmp_path):
    stop = functools.partial(own_parts.StopAt, epochs=2)
    settings = small(
        recipe=functools.partial(methods.dml, students=2),
        callbacks=[stop, LearningRateMonitor],
        loggers=[functools.partial(CSVLogger, save_dir=str(tmp_path / "logs"))],
        rate=TimmRate("cosine", {"warmup_epochs": 1, "min_lr": 1e-4}),
        mix=MixUp(alpha=0.4),
        checkpoint_every=3,
    )
    whole = train(settings, run_dir=tmp_path / "run", progress_bar=False)
    assert (whole.summary.run.epochs, whole.summary.shipped.epoch) == (2, 2)
    weights = whole.load().state_dict()
    whole.folder.summary.unlink()
    again = train(settings, run_dir=tmp_path / "run", resume=True, progress_bar=False)
    assert again.summary.run.epochs == 2
    assert all(torch.equal(value, weights[name]) for name, value in again.load().state_dict().items())
    assert list((tmp_path / "logs").rglob("metrics.csv"))
    first, second = (row.lr for row in read_history(again.folder.metrics))
    assert first == pytest.approx(
        1e-5 + (2e-3 - 1e-5) * 2 / 3
    )  # before the last of three updates of the warm-up
    assert second == pytest.approx(1e-4 + 1.9e-3 * (1 + math.cos(math.pi * 5 / 9)) / 2)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"criterion": own_parts.MeanFocal}, r"gives a loss of shape \(\) for 2 rows"),
        ({"criterion": torch.nn.NLLLoss}, "give reduction='none'"),
        ({"criterion": functools.partial(torch.nn.NLLLoss, reduction="none")}, "does not take logits"),
        (
            {"criterion": functools.partial(torch.nn.MultiMarginLoss, reduction="none"), "mix": MixUp()},
            "class probabilities, as --mix makes them",
        ),
        ({"metrics": {"per": own_parts.PerClass}}, r"metrics.per gives \(2,\)"),
        ({"metrics": {"f1": torch.nn.ReLU}}, "no torchmetrics.metric.Metric"),
        ({"callbacks": [own_parts.StopAt]}, r"callbacks\[0\].*refuses its arguments"),
        ({"loggers": [own_parts.Seen]}, r"loggers\[0\].*no lightning.pytorch.loggers.logger.Logger"),
        ({"callbacks": ["not_there.Stop"]}, "cannot be imported"),
    ],
)
def test_what_is_wrong_is_refused_and_leaves_no_folder(wrong, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        train(small(**wrong), run_dir=tmp_path / "run", progress_bar=False)
    assert not (tmp_path / "run/config.yaml").exists()


@pytest.mark.parametrize(
    "given",
    [
        {"callbacks": [own_parts.Seen()]},
        {"metrics": {"f 1": own_parts.Right}},
        {"loggers": ["Kept"]},
        {"loggers": [3]},
        {"metrics": {"a": {"class_path": "x.Y", "args": {}}}},
    ],
)
def test_what_names_no_class_is_refused_at_once(given):
    with pytest.raises(ValueError, match=r"import path|importable|digits"):
        Settings(**given)


def test_a_file_names_metrics_of_torchmetrics_and_nothing_else_unasked(tmp_path):
    file = tmp_path / "config.yaml"
    made = Settings.from_config({"metrics": {"f1": "torchmetrics.F1Score"}}, where=file)
    assert made.metrics == {"f1": "torchmetrics.F1Score"}
    for values in (
        {"metrics": {"f1": "helpers.own_parts.Right"}},
        {"callbacks": ["helpers.own_parts.Seen"]},
        {"callbacks": [{"class_path": "helpers.own_parts.Seen"}]},
        {"callbacks": [{"helpers.own_parts.StopAt": {"epochs": 2}}]},
        {"loggers": ["lightning.pytorch.loggers.CSVLogger"]},
        {"criterion": "helpers.own_parts.Focal"},
        {"mix": "helpers.own_parts.Focal"},
        {"metrics": {"f1": "torchmetrics.functional.accuracy"}},
    ):
        with pytest.raises(NotAllowedError):
            Settings.from_config(values, where=file)
    with allowing("helpers.own_parts"):
        assert Settings.from_config({"callbacks": ["helpers.own_parts.Seen"]}, where=file).callbacks
        with pytest.raises(NotAllowedError):  # it merely imports this one
            Settings.from_config({"callbacks": ["helpers.own_parts.Metric"]}, where=file)
