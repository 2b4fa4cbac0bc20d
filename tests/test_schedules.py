import math
import pickle

import pytest

from studygroup.schedules import constant, ramp_up


def test_the_ramp_up_as_printed():
    """Equation 7 of CGL: exp(-5 (1-λ)²) inside the interval, 1 outside, before it too."""
    phi = ramp_up(0.2, 0.6)
    assert phi(0.1) == 1
    assert phi(0.2) == pytest.approx(math.exp(-5))
    assert phi(0.4) == pytest.approx(math.exp(-5 * 0.25))
    assert phi(0.6) == 1
    assert phi(0.9) == 1


def test_an_empty_interval_is_constantly_one():
    assert [ramp_up(0, 0)(t) for t in (0, 0.5, 1)] == [1, 1, 1]
    assert [ramp_up(0.5, 0.5)(t) for t in (0, 0.5, 1)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ((-0.1, 0.5), r"^start is -0\.1; give a share of training in \[0, 1\]$"),
        ((0.5, 1.1), r"^end is 1\.1; give a share of training in \[0, 1\]$"),
        ((0.5, 0.2), r"^ramp from 0\.5 to 0\.2; use 0 <= start <= end <= 1, as shares of training$"),
    ],
)
def test_an_interval_outside_training_is_an_error(interval, said):
    with pytest.raises(ValueError, match=said):
        ramp_up(*interval)


def test_a_weight_that_is_no_number_is_an_error():
    with pytest.raises(ValueError, match=r"^value is nan; give a finite number$"):
        constant(math.nan)


def test_schedules_can_be_sent_to_other_processes():
    assert pickle.loads(pickle.dumps(ramp_up(0.0, 0.2)))(0.1) == ramp_up(0.0, 0.2)(0.1)
    assert pickle.loads(pickle.dumps(constant(0.3)))(0.1) == 0.3
