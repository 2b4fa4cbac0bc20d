import math

import pytest
import torch

from helpers.teachers import joined, outputs
from studygroup.teachers import MeanOfOthers, RandomSubgroup


def test_mean_of_others():
    rule = joined(MeanOfOthers(), 3)
    expected = torch.tensor([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    torch.testing.assert_close(rule.weights(outputs(3), rule.consults(0)), expected)
    rule = joined(MeanOfOthers(include_self=True), 3)
    torch.testing.assert_close(rule.weights(outputs(3), rule.consults(0)), torch.full((3, 3), 1 / 3))


@pytest.mark.parametrize(
    ("students", "probability", "size"),
    [(8, 0.25, 2), (8, 0.5, 4), (8, 1.0, 7), (8, 0.01, 1), (2, 0.9, 1), (5, 0.5, 2)],
)
def test_a_fixed_number_of_others_without_replacement(students, probability, size):
    rule = joined(RandomSubgroup(probability), students)
    seen = torch.zeros(students, students)
    for step in range(300):
        consults = rule.consults(step)
        assert not consults.diagonal().any()
        assert (consults.sum(1) == size).all()
        weights = rule.weights(outputs(students), consults)
        torch.testing.assert_close(weights, consults / size)
        seen += consults
    share = seen / 300
    off = ~torch.eye(students, dtype=torch.bool)
    # every pair as likely as another: six standard deviations around size / (K - 1)
    expected = size / (students - 1)
    assert ((share[off] - expected).abs() <= 6 * (expected * (1 - expected) / 300) ** 0.5 + 1e-6).all()


def test_bernoulli_divides_by_the_expected_number_as_printed():
    rule = joined(RandomSubgroup(0.25, selection="bernoulli"))
    count = 0.0
    for step in range(300):
        consults = rule.consults(step)
        assert not consults.diagonal().any()
        torch.testing.assert_close(rule.weights(outputs(8), consults), consults / (0.25 * 7))
        count += consults.sum().item()
    assert count / 300 == pytest.approx(8 * 0.25 * 7, rel=0.05)
    own = joined(RandomSubgroup(0.5, selection="bernoulli", include_self=True))
    consults = own.consults(0)
    torch.testing.assert_close(own.weights(outputs(8), consults), consults / (0.5 * 8))
    assert any(own.consults(step).diagonal().any() for step in range(5))


@pytest.mark.parametrize("selection", ["fixed", "bernoulli"])
def test_at_probability_one_it_is_the_mean_of_all_others(selection):
    rule, mean = joined(RandomSubgroup(1.0, selection=selection)), joined(MeanOfOthers())
    torch.testing.assert_close(
        rule.weights(outputs(8), rule.consults(3)), mean.weights(outputs(8), mean.consults(3))
    )


@pytest.mark.parametrize("include_self", [False, True])
@pytest.mark.parametrize("selection", ["fixed", "bernoulli"])
def test_at_probability_zero_nobody_is_consulted(selection, include_self):
    rule = joined(RandomSubgroup(0.0, selection=selection, include_self=include_self))
    assert rule.size == 0
    for step in range(20):
        consults = rule.consults(step)
        assert consults.shape == (8, 8)
        assert not consults.any()
        assert torch.equal(rule.weights(outputs(8), consults), torch.zeros(8, 8))


def test_draws_depend_on_seed_and_step_alone():
    first, second = joined(RandomSubgroup(0.25)), joined(RandomSubgroup(0.25))
    torch.manual_seed(1)
    ahead = [first.consults(step) for step in range(5)]
    torch.manual_seed(2)
    backwards = [second.consults(step) for step in reversed(range(5))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(ahead, backwards, strict=True))
    assert not torch.equal(ahead[0], ahead[1])
    assert not torch.equal(ahead[0], joined(RandomSubgroup(0.25), seed=1).consults(0))


def test_a_seed_draws_the_same_in_every_version():
    """A run that was reported can be repeated."""
    rule = joined(RandomSubgroup(0.25))
    heard = [[row.nonzero().flatten().tolist() for row in rule.consults(step)] for step in (0, 1)]
    assert heard[0] == [[2, 7], [2, 5], [1, 5], [6, 7], [1, 3], [1, 4], [2, 7], [2, 4]]
    assert heard[1] == [[4, 5], [6, 7], [0, 4], [2, 7], [2, 7], [2, 7], [1, 7], [1, 6]]


def test_one_student_has_nobody_to_listen_to():
    for selection in ("fixed", "bernoulli"):
        rule = joined(RandomSubgroup(0.5, selection=selection), 1)
        assert not rule.consults(0).any()
        assert not rule.weights(outputs(1), rule.consults(0)).any()


def test_wrong_settings_say_what_is_right():
    for wrong in (-0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match=rf"probability is {wrong}; give a number in \[0, 1\]"):
            RandomSubgroup(wrong)
    with pytest.raises(ValueError, match="'fixed' or 'bernoulli'"):
        RandomSubgroup(0.5, selection="half")
