import math

import pytest

from helpers.summaries import summary
from studygroup.training.verdict import Outcome, baseline_verdict


@pytest.mark.parametrize(
    ("own", "plain", "said"),
    [
        (0.8, 0.7, "right on 10 test rows more than the plain network"),
        (0.6, 0.7, "right on 10 test rows fewer than the plain network"),
        (0.7, 0.7, "right on as many test rows as the plain network"),
        (1.0, 1.0, "right on as many test rows as the plain network"),
    ],
)
def test_what_chance_may_do_decides_nothing(own, plain, said):
    verdict = baseline_verdict(summary(own=own, baseline=plain))
    assert verdict.outcome is Outcome.OPEN
    assert said in verdict.words
    chance = round(1.96 * math.sqrt(100 * (own * (1 - own) + plain * (1 - plain))))
    assert f"ahead by about {chance} of these rows; this run shows no more than that" in verdict.words


@pytest.mark.parametrize(("own", "outcome"), [(0.9, Outcome.AHEAD), (0.5, Outcome.BEHIND)])
def test_more_than_chance_decides(own, outcome):
    """0.2 apart, where 1.96 x sqrt(100 (0.09 + 0.21)) and 1.96 x sqrt(100 (0.25 + 0.21)) are 11 and 13 rows."""
    verdict = baseline_verdict(summary(own=own, baseline=0.7))
    assert verdict.outcome is outcome
    assert "this run shows more than that" in verdict.words


def test_exactly_what_chance_may_do_is_not_more():
    rows = [baseline_verdict(summary(own=0.7 + k / 100, baseline=0.7)).outcome for k in (12, 13)]
    assert rows == [Outcome.OPEN, Outcome.AHEAD]  # chance is 12 rows for both


def test_without_a_plain_network_there_is_no_verdict():
    assert baseline_verdict(summary(baseline=None)) is None
