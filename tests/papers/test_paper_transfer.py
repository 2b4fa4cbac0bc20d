"""Table 7: ranks, rank correlation and what seeds alone would do, against loops and by made-up results."""

import itertools
import math
import random

import pytest

from studygroup.papers import Lab, Verdict, judged, table_called
from studygroup.papers.results import keep
from studygroup.papers.show import markdown, remarks, values
from studygroup.papers.transfer import (
    chance_of_likeness,
    correlations,
    intervals,
    ranks,
    spread,
    spread_of_equals,
)

FIRST = [[3.0], [1.0], [4.0], [1.5], [9.0]]
SECOND = [[2.0], [7.0], [1.0], [8.0], [3.0]]


def test_ranks_are_those_in_print():
    table = table_called("cgl-table-7")
    scores = [[table.cells["CIFAR-10, score", column].published.mean] for column in table.columns]
    in_print = [int(table.cells["CIFAR-10, rank", column].published.mean) for column in table.columns]
    assert ranks(scores) == in_print == [2, 4, 6, 5, 7, 3, 1, 7]
    assert ranks([[1.0, 3.0], [2.5], [0.0, 9.0]]) == [3, 2, 1]


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
    assert "0.17 and 0.20 points" in " ".join(table_called("cgl-table-7").note.split())
    assert spread([[1.0, 3.0], [5.0], [4.0]]) == 3
    # and so it is: of many such groups of equal structures a twentieth spans more
    draw, above = random.Random(1), 0
    for _ in range(2000):
        group = [[draw.gauss(0, 0.06) for _ in range(3)] for _ in range(8)]
        above += spread(group) > spread_of_equals(group)
    assert above / 2000 == pytest.approx(0.05, abs=0.015)


def filled(lab, *, seeds, rows=("CIFAR-10, score", "CIFAR-100, score"), step=0.01):
    """Structures one better than the next on the first set, the other way round on the second."""
    table = table_called("cgl-table-7")
    for row in rows:
        for column in table.columns:
            cell = table.cells[row, column]
            key, settings = lab.key(cell), lab.config(cell) | {"data": "made_up"}
            sign = 1 if row.startswith("CIFAR-10,") else -1
            for seed in range(seeds):
                test = 0.5 + sign * step * int(column) + seed / 1000
                keep(lab.kept, table, cell, key, seed=seed, settings=settings, found={"test": test})
    return table, lab.found(table)


def test_structures_are_the_columns(tmp_path):
    lab, table = Lab(run_dir=tmp_path), table_called("cgl-table-7")
    for row in ("CIFAR-10, score", "CIFAR-100, score"):
        own = [lab.config(table.cells[row, column])["recipe"]["init_args"] for column in table.columns]
        assert [one["structure"] for one in own] == list(range(8))
    assert {row for row, _ in (cell.place for cell in table.runnable)} == {
        "CIFAR-10, score",
        "CIFAR-100, score",
    }


def test_ours_are_ranked_and_correlated(tmp_path):
    lab = Lab(run_dir=tmp_path)
    table, found = filled(lab, seeds=3)
    numbers = values(table, found)
    assert [numbers["CIFAR-10, rank", column] for column in table.columns] == [[8 - k] for k in range(8)]
    assert [numbers["CIFAR-100, rank", column] for column in table.columns] == [[1 + k] for k in range(8)]
    said = "\n".join(remarks(table, lab, found))
    assert "Spearman's rho -1.00 [-1.00, -1.00], Kendall's tau -1.00 [-1.00, -1.00]; 95% over seeds" in said
    assert (
        "CIFAR-10, score: the structures span 7.00 points; as many equal ones would stay below 0.28" in said
    )
    assert "| CIFAR-10, rank | 2 / 8 | 4 / 7 |" in markdown(table, lab)
    assert {claim.verdict for claim in judged(table, numbers)} == {Verdict.UNTESTED}


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


def test_one_seed_says_little(tmp_path):
    lab = Lab(run_dir=tmp_path)
    table, found = filled(lab, seeds=1, rows=["CIFAR-10, score"])
    said = "\n".join(remarks(table, lab, found))
    assert "span 7.00 points; with one seed of each they cannot be told from seeds." in said
    assert "Ranks want a run of each structure, their correlation both rows." in said
    table, found = filled(lab, seeds=1)
    said = "\n".join(remarks(table, lab, found))
    assert "Spearman's rho -1.00, Kendall's tau -1.00; no interval, which takes 3 seeds" in said
    table, found = filled(lab, seeds=1, step=0.0)
    assert "No rank correlation: the structures of a row are all equal." in remarks(table, lab, found)
