"""Confidence intervals of means and of paired differences."""

import math

import pytest

from studygroup.analysis.intervals import half_width, paired_gain


def test_half_of_students_interval():
    assert half_width([1.0, 2.0, 3.0]) == pytest.approx(4.302653 / math.sqrt(3))
    assert half_width([1.0, 2.0]) == 0


def test_a_gain_is_paired_and_has_its_interval_from_three_pairs_on():
    assert paired_gain([0.51, 0.62, 0.73], [0.50, 0.60, 0.70]) == "+2.0 ± 2.5"
    assert paired_gain([0.49, 0.60], [0.50, 0.60]) == "-0.5"
    with pytest.raises(ValueError, match="zip"):
        paired_gain([0.5], [0.5, 0.6])
