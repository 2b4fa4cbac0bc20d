"""The student that ships is chosen by a metric of one's own on the hold-out rows."""

import functools
import math

import pytest
import torch
from torchmetrics import CalibrationError, F1Score

from helpers import own_parts
from helpers.small_run import small, whole_and_resumed
from studygroup import objectives
from studygroup.training import Settings, methods, train
from studygroup.training.history import read_history
from studygroup.training.scoring_by import ScoringBy

DML = functools.partial(methods.dml, students=3)
METRICS = {
    "wrong": own_parts.Wrong,
    "f1": functools.partial(F1Score, average="macro"),
    "ece": CalibrationError,
}


@pytest.mark.slow
def test_the_best_of_all_epochs_by_a_metric_ships_and_resumes_exactly(tmp_path):
    """The share of wrong answers, as if more of them were better, chooses the worst student of all epochs."""
    options = {"recipe": DML, "metrics": METRICS, "select": "best", "train_rows": 80, "epochs": 2}
    best, resumed = whole_and_resumed(small(**options, select_by="wrong", select_mode="max"), tmp_path)
    rows = read_history(best.folder.metrics)
    wrong = [[row.metrics[f"wrong_{k}"] for k in range(3)] for row in rows]
    highest = max(max(row) for row in wrong)
    epoch = next(k for k, row in enumerate(wrong) if max(row) == highest)
    shipped = best.summary.shipped
    assert (shipped.epoch, shipped.student) == (epoch + 1, wrong[epoch].index(highest))
    assert (
        shipped.holdout == pytest.approx(1 - highest) == pytest.approx(rows[epoch].holdout[shipped.student])
    )
    assert (shipped.select_by, shipped.rule) == ("wrong", "select=best, select_by=wrong")
    assert resumed.summary.shipped == shipped
    one, other = best.load().state_dict(), resumed.load().state_dict()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert "select_by=wrong" in best.folder.card.read_text()


@pytest.mark.parametrize(
    ("metric", "best"),
    [
        ("ece", min),
        pytest.param("f1", max, marks=pytest.mark.slow),
        pytest.param("wrong", min, marks=pytest.mark.slow),
    ],
)
def test_a_metric_says_itself_which_values_are_better(metric, best, tmp_path):
    settings = small(recipe=DML, metrics=METRICS, epochs=1, train_rows=100, select_by=metric)
    run = train(settings, run_dir=tmp_path / "run", progress_bar=False)
    (row,) = read_history(run.folder.metrics)
    values = [row.metrics[f"{metric}_{k}"] for k in range(3)]
    assert run.summary.shipped.student == values.index(best(values))
    assert run.summary.shipped.holdout == row.holdout[run.summary.shipped.student]


@pytest.mark.slow
def test_values_that_are_no_number_are_the_worst():
    by = ScoringBy("f1", "min")
    assert by.scores([0.5, math.nan, 0.25]) == (-0.5, -math.inf, -0.25)
    with pytest.warns(UserWarning, match="f1 is not a number for any student"):
        assert by.scores([math.nan, math.nan]) == (-math.inf, -math.inf)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"select_by": "f1"}, "no metric of this run; there is none"),
        ({"select_by": "f", "metrics": METRICS}, "no metric of this run.*there are ece, f1, wrong"),
        ({"select_mode": "min"}, "accuracy decides"),
    ],
)
def test_a_choice_by_what_is_no_metric_is_refused_at_once(given, said):
    with pytest.raises(ValueError, match=said):
        Settings(**given)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"metrics": {"right": own_parts.Right}, "select_by": "right"}, "give --select_mode max or min"),
        # answers are right or wrong of one class a row: other labels have no accuracy to be chosen by
        (
            {"criterion": objectives.BinaryCrossEntropy},
            "the criterion does not take logits with one class a row",
        ),
        ({"criterion": objectives.SquaredError}, "the criterion does not take logits with one class a row"),
    ],
)
def test_what_could_not_choose_is_refused_before_training(given, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        train(small(recipe=DML, **given), run_dir=tmp_path / "run", progress_bar=False)
    assert not (tmp_path / "run/config.yaml").exists()


@pytest.mark.slow
def test_a_study_compares_accuracies_and_takes_no_other_choice():
    from studygroup.training.tuning.space import read_space

    with pytest.raises(ValueError, match="trials are compared by hold-out accuracy"):
        read_space(small(select_by="wrong", metrics=METRICS), {"batch_size": [10, 20]})
    with pytest.raises(ValueError, match="select_by decides what trials are scored by"):
        read_space(small(metrics=METRICS), {"select_by": ["wrong", "f1"]})
