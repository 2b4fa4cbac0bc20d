"""How soon a run's hold-out accuracy comes near its final level."""

import csv
import dataclasses

import pytest

from studygroup.analysis import analyses
from studygroup.analysis.convergence import epochs_to, final_level, late_change
from studygroup.training.folder import RunFolder


def test_epochs_until_the_accuracy_is_near_its_final_level():
    curve = [0.1, 0.5, 0.594, 0.58, 0.6, 0.6, 0.59, 0.6, 0.59, 0.61]  # the last fifth: 0.6
    assert epochs_to(curve) == 3
    assert epochs_to(curve, share=0.8) == 2
    assert epochs_to(curve, share=1.0) == 5
    assert epochs_to([0.3]) == 1


def test_the_change_at_the_end():
    assert final_level([0.1, 0.2, 0.3, 0.4, 0.6]) == 0.6
    assert late_change([0.1, 0.2, 0.3, 0.4, 0.6]) == pytest.approx(20)
    tens = [0.1] * 14 + [0.4, 0.6] + [0.9] * 2 + [0.5, 0.8]  # of 20: the last 2 against epochs 15 and 16
    assert late_change(tens) == pytest.approx(100 * (0.65 - 0.5))
    assert final_level(tens) == pytest.approx((0.9 + 0.9 + 0.5 + 0.8) / 4)
    assert late_change([0.1, 0.2, 0.3, 0.4]) is None


def test_a_run_is_read_from_its_epochs(three):
    found = analyses["convergence"](three.folder)
    with three.folder.metrics.open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    assert found["epochs"] == len(rows) == found["end"]["epoch"]
    at = found["reached"]["epoch"]
    assert found["final"] == pytest.approx(
        rows[-1]["holdout_mean"], abs=5e-5
    )  # a fifth of so few is the last
    first = next(k for k, row in enumerate(rows, 1) if row["holdout_mean"] >= 0.99 * found["final"])
    assert at == first
    assert found["reached"]["updates"] == rows[at - 1]["updates"]
    assert found["end"]["spent"] == pytest.approx(sum(row["cpu_seconds"] for row in rows), abs=0.06)
    assert dataclasses.replace(analyses["convergence"], share=0.01)(three.folder)["reached"]["epoch"] == 1


def test_what_cannot_be_read_is_said(three, tmp_path):
    with pytest.raises(ValueError, match=r"share is 1\.5; give one above 0"):
        dataclasses.replace(analyses["convergence"], share=1.5)(three.folder)
    folder = RunFolder(tmp_path)
    folder.write_summary(three.summary)
    with pytest.raises(ValueError, match=r"metrics\.csv has no epochs"):
        analyses["convergence"](folder)


def test_a_constant_curve_is_there_at_once():
    """The mean of equal numbers may be rounded above them."""
    for hundredth in range(1, 100):
        assert epochs_to([hundredth / 1000] * 15, share=1.0) == 1
    assert epochs_to([0.0009] * 15, share=1.0) == 1
