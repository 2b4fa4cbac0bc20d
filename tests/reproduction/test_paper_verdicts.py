"""Claims, judged by made-up results; differences that the papers print, by the published numbers."""

import math

import pytest

from reproduction.reading import table_called, tables
from reproduction.verdicts import Verdict, judge
from studygroup.analysis.intervals import welch


def test_welch_interval_of_a_difference():
    # deviations 1 and 1, three each: 4 degrees of freedom, whose 97.5 % quantile is 2.7764
    estimate, low, high, p = welch([(4.0, 5.0, 6.0), (1.0, 2.0, 3.0)], (1.0, -1.0))
    assert estimate == pytest.approx(3)
    # Student's distribution of 4 degrees in closed form, at t = 3 / sqrt(2 / 3)
    s = 1 + 13.5 / 4
    assert p == pytest.approx(2 * (0.5 - 3 / 8 * math.sqrt(13.5 / s) * (1 - 13.5 / (12 * s))))
    assert (low, high) == pytest.approx(
        (3 - 2.77645 * math.sqrt(2 / 3), 3 + 2.77645 * math.sqrt(2 / 3)), abs=1e-4
    )


def test_welch_interval_of_unequal_spreads():
    # variances of the means a = 1/3 and b = 16/5; freedom (a + b)^2 / (a^2 / 2 + b^2 / 4) = 4.7676
    samples = [(9.0, 10.0, 11.0), (2.0, 4.0, 6.0, 10.0, 12.0)]
    variance = sum((x - 6.8) ** 2 for x in samples[1]) / 4
    a, b = 1 / 3, variance / 5
    freedom = (a + b) ** 2 / (a**2 / 2 + b**2 / 4)
    estimate, low, high, _ = welch(samples, (1.0, -1.0))
    assert estimate == pytest.approx(3.2)
    assert (high - low) / 2 == pytest.approx(_quantile(freedom) * math.sqrt(a + b), rel=1e-4)


def _quantile(freedom):
    """Where Student's density holds 97.5 %, by summing it up."""
    scale = math.gamma((freedom + 1) / 2) / math.sqrt(freedom * math.pi) / math.gamma(freedom / 2)
    total, t, step = 0.5, 0.0, 1e-4
    while total < 0.975:
        total += step * scale * (1 + (t + step / 2) ** 2 / freedom) ** (-(freedom + 1) / 2)
        t += step
    return t


def test_welch_of_a_difference_of_differences():
    samples = [(5.0, 6.0, 7.0), (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), (3.0, 4.0, 5.0)]
    estimate, low, high, _ = welch(samples, (1.0, -1.0, -1.0, 1.0))
    assert estimate == pytest.approx(3)
    # four equal variances of 1 with 2 degrees each: 8 in all, quantile 2.3060
    assert (high - low) / 2 == pytest.approx(2.3060 * math.sqrt(4 / 3), abs=1e-4)


def test_equal_results_have_no_interval():
    assert welch([(1.0, 1.0), (3.0, 3.0)], (1.0, -1.0)) == (-2, -2, -2, 0)
    assert welch([(1.0, 1.0), (1.0, 1.0)], (1.0, -1.0)) == (0, 0, 0, 1)


def found(difference, *, seeds=3, table="cgl-table-5", jitter=0.01):
    """Column 20 better than all others by so much."""
    values = {}
    for row, column in table_called(table).cells:
        mean = 50 + difference * (column == "20")
        values[row, column] = [mean + jitter * (seed - 1) for seed in range(seeds)]
    return judge(table_called(table), values)


@pytest.mark.parametrize(
    ("difference", "jitter", "verdict"),
    [
        (1.0, 0.01, Verdict.HOLDS),
        (-1.0, 0.01, Verdict.FAILS),
        (1.0, 2.0, Verdict.OPEN),
        (-1.0, 2.0, Verdict.OPEN),
        (0.0, 0.0, Verdict.OPEN),
        (0.5, 0.0, Verdict.HOLDS),
    ],
)
def test_verdicts(difference, jitter, verdict):
    for claim in found(difference, jitter=jitter):
        assert claim.verdict is verdict
        assert [compared.difference for compared in claim.compared] == pytest.approx(
            [difference] * len(claim.compared)
        )


def test_a_figure_that_is_no_number_decides_nothing():
    assert {claim.verdict for claim in found(math.nan)} == {Verdict.OPEN}


def test_two_seeds_test_nothing():
    assert {claim.verdict for claim in found(9.0, seeds=2)} == {Verdict.UNTESTED}


def test_one_cell_short_of_seeds_leaves_the_claim_untested():
    table = table_called("cgl-table-5")
    values = {place: [50.0 + (place[1] == "20"), 50.1, 50.2] for place in table.cells}
    values["ResNet-18, CIFAR-100", "80"].pop()
    first, second = judge(table, values)
    assert first.verdict is not Verdict.UNTESTED
    assert second.verdict is Verdict.UNTESTED
    assert [one.verdict is Verdict.UNTESTED for one in second.compared] == [False, True]


def test_one_comparison_that_fails_refutes_the_claim():
    table = table_called("cgl-table-5")
    means = {"0": 49.0, "20": 50.0, "40": 49.0, "80": 51.0}
    values = {(row, column): [means[column] + 0.01 * s for s in range(3)] for row, column in table.cells}
    first, second = judge(table, values)
    assert (first.verdict, second.verdict) == (Verdict.HOLDS, Verdict.FAILS)
    assert (second.count(Verdict.HOLDS), second.count(Verdict.FAILS)) == (1, 1)


def test_a_failure_refutes_whatever_is_left_out():
    table = table_called("cgl-table-2")
    means = {column: 70.0 - 9 * (column == "CGL") for column in table.columns}
    values = {
        (row, column): [means[column] + 0.1 * s for s in range(3)]
        for row in ("ResNet-18, CIFAR-10", "ResNet-18, CIFAR-100")
        for column in table.columns
    }
    best = judge(table, values)[0]
    assert best.verdict is Verdict.FAILS
    assert (best.count(Verdict.FAILS), best.count(Verdict.UNTESTED)) == (10, 5)


def test_a_failure_among_many_has_to_be_clear():
    """Of 5 comparisons with 4 degrees of freedom, p of 0.033 is no refutation of all, p of 0.0004 is."""
    table = table_called("cgl-table-2")
    row = "ResNet-18, CIFAR-10"

    def best(deficit):
        means = dict.fromkeys(table.columns, 70.0) | {"CGL": 75.0, "DML": 75.0 + deficit}
        return judge(table, {(row, c): [m - 1, m, m + 1] for c, m in means.items()})[0]

    assert best(2.6).count(Verdict.FAILS) == 1  # t of 3.18, by itself below its level
    assert [best(d).verdict for d in (2.6, 9.0)] == [Verdict.UNTESTED, Verdict.FAILS]


def test_less_error_is_better():
    table = table_called("intra-figure-2")
    errors = {"baseline": 40.0, "out+mid+pull-push": 36.0}
    values = {
        (row, column): [
            errors.get(column, 38.0) - 0.1 * int(row[0]) * (column != "baseline") + 0.01 * s for s in range(3)
        ]
        for row, column in table.cells
    }
    better, grows, most = judge(table, values)
    assert better.verdict is grows.verdict is most.verdict is Verdict.HOLDS
    assert [one.difference for one in grows.compared] == pytest.approx([0.4] * 5)  # 0.1 x (5 - 1)
    assert most.compared[0].difference == pytest.approx(4.5)


def test_means_of_several_cells_are_compared():
    table = table_called("intra-table-3")
    claim = next(claim for claim in table.claims if "tends" in claim.says)
    (contrast,) = claim.contrasts
    assert len(contrast.weights) == 14
    assert sum(weight for _, weight in contrast.weights) == pytest.approx(0)
    # the mean gain of L_out over the seven pairs in print
    pairs = [
        (24.93, 24.76),
        (26.03, 25.31),
        (25.64, 25.62),
        (24.67, 24.18),
        (24.81, 24.39),
        (25.68, 24.81),
        (25.13, 24.89),
    ]
    (difference,) = next(one for one in judge(table, {}) if one.claim is claim).published
    assert difference == pytest.approx(sum(without - out for without, out in pairs) / 7)


def test_differences_in_the_text_are_those_of_the_tables_or_noted():
    wrong = []
    for table in tables().values():
        for one in judge(table, {}):
            for contrast, difference in zip(one.claim.contrasts, one.published, strict=True):
                if (
                    contrast.said is not None
                    and difference is not None
                    and abs(contrast.said - difference) > 1e-6
                ):
                    assert f"{difference:.2f}" in one.claim.note
                    wrong.append(contrast.said)
    assert wrong == [0.16, 2.19]


def test_what_the_published_tables_say():
    disagree = {
        (table.id, one.claim.says): one.in_print
        for table in tables().values()
        for one in judge(table, {})
        if one.in_print[0] < one.in_print[1]
    }
    assert {(id, counts) for (id, _), counts in disagree.items()} == {
        ("intra-table-1", (3, 4)),  # mid is not better than twice the filters in CIFAR-100, ResNet-18
        ("intra-table-1", (11, 12)),  # mid is not the best single in CIFAR-10, ResNet-18
        ("cgl-table-2", (8, 9)),  # CL-ILR is below DML on CIFAR-10
    }
    assert len(disagree) == 3
    assert all(one.verdict is Verdict.UNTESTED for table in tables().values() for one in judge(table, {}))


def test_contrasts_are_in_balance():
    for table in tables().values():
        for claim in table.claims:
            for contrast in claim.contrasts:
                assert sum(weight for _, weight in contrast.weights) == pytest.approx(0)
                assert len({table.cells[place].measure for place in contrast.places}) == 1
