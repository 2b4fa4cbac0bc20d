"""Ranks, rank correlation and what seeds alone would do, against loops."""

import itertools
import json
import math
import random

import pytest

from helpers.summaries import summary
from studygroup.analysis.transfer import (
    chance_of_likeness,
    correlations,
    intervals,
    ranks,
    spread,
    spread_of_equals,
    transfer,
)
from studygroup.cli import main

FIRST = [[3.0], [1.0], [4.0], [1.5], [9.0]]
SECOND = [[2.0], [7.0], [1.0], [8.0], [3.0]]


def test_equals_share_the_better_rank():
    assert ranks([[1.0, 3.0], [2.5], [0.0, 9.0]]) == [3, 2, 1]
    assert ranks([[5.0], [1.0], [5.0], [2.0]]) == [1, 4, 1, 3]


def test_means_of_equal_sums_are_equal_however_seeds_are_ordered():
    some = [
        [100 * right / 300 for right in seeds]
        for seeds in ((270, 270, 281), (270, 271, 280), (271, 271, 279))
    ]
    assert len({sum(seeds) / 3 for seeds in some}) > 1  # by their last bit
    other = [[83.0], [87.0], [85.0]]
    assert ranks(some) == [1, 1, 1]
    assert all(math.isnan(one) for one in correlations(some, other))
    assert spread(some) == 0.0
    assert chance_of_likeness(some, other) == 1.0


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


@pytest.mark.slow
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


def comparison(folder, tests):
    """What `compare` leaves, as far as it is read: the rows, and of each run the summary."""
    cost = {"updates": 1, "step_cost": 1.0}
    rows = [
        {"name": name, "n": len(some), "seeds": [*range(len(some))]} | cost for name, some in tests.items()
    ]
    folder.mkdir()
    (folder / "comparison.json").write_text(json.dumps(rows))
    for name, some in tests.items():
        for seed, test in enumerate(some):
            run = folder / f"{name}-{seed}"
            run.mkdir()
            (run / "summary.json").write_text(json.dumps(summary(own=test).to_plain()))
    return folder


@pytest.fixture
def two(tmp_path):
    first = {"a": [0.90, 0.92, 0.94], "b": [0.80, 0.82, 0.84], "c": [0.70, 0.72, 0.74], "only": [0.5]}
    second = {"c": [0.30, 0.32, 0.34], "b": [0.60, 0.62, 0.64], "a": [0.50, 0.52, 0.54]}
    return comparison(tmp_path / "cifar10", first), comparison(tmp_path / "cifar100", second)


def test_the_same_names_are_ranked_on_both_sets(two, capsys):
    assert main(["analyse", "transfer", *map(str, two)]) == 0
    said = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert lines[:4] == [
        "cifar10 rank cifar100 rank",
        "a 92.00 ± 2.00 (3) 1 52.00 ± 2.00 (3) 2",
        "b 82.00 ± 2.00 (3) 2 62.00 ± 2.00 (3) 1",
        "c 72.00 ± 2.00 (3) 3 32.00 ± 2.00 (3) 3",
    ]
    # of the six orders of three, those with rho 0.5 or more: the order itself and two with neighbours changed
    assert "Rank correlation of cifar10 and cifar100: Spearman's rho 0.50 [0.50, 0.50]" in said
    assert "share of 0.5 has such a rho or a higher one (exact permutation test)" in said
    assert "cifar10: the structures span 20.00 points; as many equal ones would stay below 5.01" in said
    assert "a, the best on cifar10, has rank 2 of 3 on cifar100, +3.33 points from the mean of all." in said


def test_one_seed_has_no_interval(tmp_path):
    names = "abc"
    one = comparison(tmp_path / "one", {name: [k / 10] for k, name in enumerate(names, 1)})
    other = comparison(tmp_path / "other", {name: [k / 20] for k, name in enumerate(names, 1)})
    found = transfer(one, other)
    assert found.table[1] == ("a", "10.00 (1)", "3", "5.00 (1)", "3")
    assert "one: the structures span 20.00 points; with one seed of each they cannot be told from seeds." in (
        found.remarks
    )
    assert any(
        "rho 1.00, Kendall's tau 1.00; no interval, which takes 3 seeds" in said for said in found.remarks
    )


def test_folders_of_one_name_are_told_apart(tmp_path):
    tests = {name: [k / 10] for k, name in enumerate("abc", 1)}
    for place in ("x", "y"):
        (tmp_path / place).mkdir()
        comparison(tmp_path / place / "runs", tests)
    found = transfer(tmp_path / "x" / "runs", tmp_path / "y" / "runs")
    assert found.table[0] == ("", str(tmp_path / "x" / "runs"), "rank", str(tmp_path / "y" / "runs"), "rank")


def test_what_does_not_fit_is_refused(two, tmp_path, capsys):
    first, second = two
    assert main(["analyse", "transfer", str(first), str(first)]) == 1
    assert "given twice; give comparisons on two data sets" in capsys.readouterr().err
    few = comparison(tmp_path / "few", {"a": [0.1], "b": [0.2]})
    with pytest.raises(ValueError, match=r"share 2 configurations \(a, b\); an order takes 3"):
        transfer(first, few)
    with pytest.raises(ValueError, match=r"nowhere holds no comparison: comparison.json is missing"):
        transfer(first, tmp_path / "nowhere")
    (second / "b-1" / "summary.json").unlink()
    with pytest.raises(ValueError, match=r"b-1 holds no finished run"):
        transfer(first, second)
    (few / "comparison.json").write_text('{"a": 1}')
    with pytest.raises(ValueError, match=r"comparison.json holds no rows; call `studygroup compare` again"):
        transfer(first, few)
