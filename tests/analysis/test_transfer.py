"""Ranks, rank correlation and what seeds alone would do, against loops."""

import itertools
import math
import random

import pytest

from studygroup.analysis.transfer import (
    chance_of_likeness,
    correlations,
    intervals,
    ranks,
    spread,
    spread_of_equals,
)

FIRST = [[3.0], [1.0], [4.0], [1.5], [9.0]]
SECOND = [[2.0], [7.0], [1.0], [8.0], [3.0]]


def test_equals_share_the_better_rank():
    assert ranks([[1.0, 3.0], [2.5], [0.0, 9.0]]) == [3, 2, 1]
    assert ranks([[5.0], [1.0], [5.0], [2.0]]) == [1, 4, 1, 3]


def test_correlations_are_those_of_loops():
    places = [[sorted(row).index(x) for x in row] for row in (FIRST, SECOND)]
    squares = sum((a - b) ** 2 for a, b in zip(*places, strict=True))
    rho = 1 - 6 * squares / (5 * (25 - 1))
    pairs = [(i, j) for i in range(5) for j in range(i)]
    agree = sum(
        1 if (places[0][i] - places[0][j]) * (places[1][i] - places[1][j]) > 0 else -1 for i, j in pairs
    )
    assert correlations(FIRST, SECOND) == pytest.approx((rho, agree / len(pairs)))
    assert correlations(FIRST, FIRST) == pytest.approx((1, 1))
    assert all(math.isnan(one) for one in correlations(FIRST, [[1.0]] * 5))


def test_intervals_are_of_seeds_drawn_again():
    draw = random.Random(0)
    sure = [[10 * k + draw.random() for _ in range(3)] for k in range(8)]
    assert intervals(sure, sure) == (pytest.approx((1, 1)), pytest.approx((1, 1)))  # no seed changes an order
    once = [[some[0]] for some in sure], [[draw.gauss(0, 1)] for _ in range(8)]
    for ends, one in zip(
        intervals(*once), correlations(*once), strict=True
    ):  # with one seed every draw is the same
        assert ends == pytest.approx((one, one))
    unsure = [[draw.gauss(0, 1) for _ in range(3)] for _ in range(8)]
    (low, high), (lowest, highest) = intervals(sure, unsure)
    rho, tau = correlations(sure, unsure)
    assert -1 <= low < rho < high <= 1
    assert -1 <= lowest < tau < highest <= 1
    assert high - low > 0.3
    assert intervals(sure, unsure) == ((low, high), (lowest, highest))
    assert intervals(sure, [[1.0, 1.0, 2.0]] * 8)[0][0] >= -1  # draws without any order are left out


def test_the_spread_that_seeds_alone_give():
    # eight means of three at a deviation of 0.06, as published; the quantile is in any table, 4.896 for 8 and 16
    scores = [[94.5 - 0.06, 94.5, 94.5 + 0.06]] * 8
    assert spread_of_equals(scores) == pytest.approx(4.896 * 0.06 / math.sqrt(3), rel=1e-3)
    assert spread([[1.0, 3.0], [5.0], [4.0]]) == 3
    # and so it is: of many such groups of equal structures a twentieth spans more
    draw, above = random.Random(1), 0
    for _ in range(2000):
        group = [[draw.gauss(0, 0.06) for _ in range(3)] for _ in range(8)]
        above += spread(group) > spread_of_equals(group)
    assert above / 2000 == pytest.approx(0.05, abs=0.015)


def test_the_chance_of_a_likeness_counts_orders():
    """Of 24 orders rho is 0.8 or more in the order itself and in three with one pair of neighbours changed."""
    first, second = ([[1.0], [2.0], [3.0], [4.0]], [[1.0], [2.0], [4.0], [3.0]])
    count = 0
    for order in itertools.permutations([1, 2, 4, 3]):
        squares = sum((k - place) ** 2 for k, place in enumerate(order, 1))
        count += 1 - 6 * squares / (4 * 15) >= 0.8  # Spearman's formula without equals
    assert count == 4
    assert chance_of_likeness(first, second) == pytest.approx(4 / 24)
    assert chance_of_likeness(first, first[::-1]) == 1.0


def test_of_many_structures_orders_are_drawn():
    """Nine in the same order: of 362,880 orders only that one, so of 50,000 drawn and itself about one or two."""
    scores = [[float(k)] for k in range(9)]
    assert 1 / 50_001 <= chance_of_likeness(scores, scores) <= 3 / 50_001
    assert chance_of_likeness(scores, scores[::-1]) == 1.0
    unsure = [[float(k)] for k in (3, 0, 5, 1, 8, 2, 7, 4, 6)]
    draw, above = random.Random(0), 0
    rho, _ = correlations(scores, unsure)
    for _ in range(4000):
        order = draw.sample(unsure, 9)
        above += correlations(scores, order)[0] >= rho - 1e-9
    assert chance_of_likeness(scores, unsure) == pytest.approx(above / 4000, abs=0.02)
