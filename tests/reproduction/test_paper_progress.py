"""Accuracy at equal time and updates, and how fast training converges, from made-up curves."""

import pytest

from reproduction.derived import speed, speed_changes
from reproduction.lab import Lab
from reproduction.measures import MEASURES
from reproduction.progress import at_equal, comparable_cells, late_change, mean_curve, value_at
from reproduction.reading import table_called
from reproduction.results import Found, keep, numbers
from reproduction.show import as_text
from reproduction.view import view_of


def run(holdout, *, update=10, second=1.0, **more):
    """Figures with a curve of so many updates and seconds an epoch."""
    count = range(1, len(holdout) + 1)
    curve = {
        "updates": [update * e for e in count],
        "spent": [second * e for e in count],
        "holdout": holdout,
    }
    figures = {"test": 0.5, "test_top5": 0.8, "diversity": 0.2}
    return figures | {"spent": second * len(holdout), "curve": curve} | more


def found(*runs):
    return Found("made_up", "a key", dict(enumerate(runs)))


def test_a_curve_is_the_mean_over_seeds():
    some = mean_curve(found(run([0.1, 0.3], second=1.0), run([0.3, 0.5], second=2.0), {"test": 0.4}))
    assert some.accuracy == pytest.approx([20, 40])
    assert some.n == 2
    assert some.spent == pytest.approx([1.5, 3.0])
    assert some.updates == [10, 20]
    assert mean_curve(found({"test": 0.4}, {"curve": {}})) is None


@pytest.mark.parametrize(("place", "value"), [(5, 1), (10, 1), (19, 1), (20, 2), (29, 2), (99, 3)])
def test_the_last_epoch_that_ended_by_then_counts(place, value):
    assert value_at([10, 20, 30], [1.0, 2.0, 3.0], place) == value


def test_equal_is_the_smallest_total_of_all():
    slow = mean_curve(found(run([0.2, 0.4, 0.6], update=10, second=4.0)))
    quick = mean_curve(found(run([0.1, 0.3, 0.5], update=40, second=1.5)))
    assert at_equal({"slow": slow, "quick": quick}, "updates") == (
        30,
        {"slow": 60, "quick": pytest.approx(10)},
    )
    total, reached = at_equal({"slow": slow, "quick": quick}, "spent")
    assert (total, reached) == (4.5, {"slow": pytest.approx(20), "quick": pytest.approx(50)})


def test_seconds_of_a_processor_and_of_a_gpu_are_neither_averaged_nor_compared():
    slow, quick = run([0.2, 0.4], second=4.0), run([0.3, 0.5], second=1.0, device="cuda")
    both, old, new = found(slow, quick), found(slow, slow | {"device": "cpu"}), found(quick, quick)
    assert (both.clock, old.clock, new.clock) == (None, "cpu", "cuda")
    assert (both.spent, old.spent, new.spent) == (None, 8.0, 2.0)
    seconds = MEASURES["seconds"]
    assert (numbers(seconds, both), numbers(seconds, old)) == ([], [8.0, 8.0])
    mixed = mean_curve(both)
    assert (mixed.spent, mixed.accuracy) == ([], pytest.approx([25, 45]))
    assert at_equal({"old": mean_curve(old), "new": mean_curve(new)}, "spent") == (0.0, {})
    assert len(at_equal({"old": mean_curve(old), "new": mean_curve(new)}, "updates")[1]) == 2


def test_plain_networks_that_train_as_long_as_others_are_not_compared_at_equal_cost():
    table = table_called("cgl-table-2")
    assert [*comparable_cells(table)] == [row for row in table.rows if "plain for as long" not in row]


def test_speed_is_one_over_epochs():
    assert speed(found(run([0.1, 0.6]), run([0.6, 0.6]), {"test": 0.1})) == 0.75  # of 2 epochs and of 1
    assert speed(found({"test": 0.1})) is None


def test_the_change_in_the_last_fifth_of_the_epochs():
    curve = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.7, 0.9]  # of 10 epochs the 10th against the 8th
    assert late_change(found(run(curve))) == pytest.approx(10)
    assert late_change(found(run(curve), run(curve[::-1]))) == pytest.approx((10 - 20) / 2)
    twice = [share for share in curve for _ in range(2)]  # of 20 the last two against the 15th and 16th
    assert late_change(found(run(twice))) == pytest.approx(10)
    assert late_change(found(run([0.1, 0.2]))) is None
    assert late_change(found({"test": 0.4})) is None


def curves(at):
    """A run that is at its level from an epoch on."""
    return run([0.2] * (at - 1) + [0.6] * (21 - at))


def test_speed_is_against_the_mean_of_all_others():
    table = table_called("cgl-table-2")
    row = table.rows[0]
    levels = {"baseline": 4, "DML": 8, "CL-ILR": 8, "ONE": 10, "OKDDip": 10, "CGL": 10}
    some = {(row, column): found(curves(level)) for column, level in levels.items()}
    some[table.rows[1], "CGL"] = found(curves(3))  # alone
    others = (1 / 4 + 1 / 8 + 1 / 8 + 1 / 10 + 1 / 10) / 5
    assert speed_changes(table, some) == {row: pytest.approx(100 * (1 / 10 / others - 1))}
    del some[row, "ONE"]
    assert speed_changes(table, some) == {}


def keep_row(lab, id, row, figures):
    table = table_called(id)
    for column, some in figures.items():
        cell = table.cells[row, column]
        settings = lab.config(cell) | {"data": "made_up"}
        keep(lab.results_dir, table, cell, lab.key(cell), seed=0, settings=settings, found=some)


def test_the_appendix_has_the_range_over_experiments(tmp_path):
    lab, table = Lab(run_dir=tmp_path), table_called("cgl-appendix-convergence")
    assert lab.found(table) == {}
    columns = table_called("cgl-table-2").columns
    keep_row(lab, "cgl-table-2", "ResNet-18, CIFAR-10", {c: curves(10) | {"seconds": 1} for c in columns})
    keep_row(
        lab, "cgl-table-2", "ResNet-18, CIFAR-100", {c: curves(8 if c == "CGL" else 10) for c in columns}
    )
    assert view_of(table, lab).values == {
        ("CGL", "lowest"): [0],
        ("CGL", "highest"): [pytest.approx(25)],
    }
    assert (
        "2 of 7 experiments: ResNet-18, CIFAR-10 +0.0 %; ResNet-18, CIFAR-100 +25.0 %."
        in view_of(table, lab).remarks()
    )
    assert "25.0" in as_text(view_of(table, lab))
    assert "(1)" not in as_text(view_of(table, lab))  # no seeds of its own


def test_accuracies_at_equal_time_and_updates_are_shown(tmp_path, capsys):
    from reproduction.command import main

    lab, row = Lab(run_dir=tmp_path), "ResNet-18, CIFAR-100"
    keep_row(
        lab,
        "cgl-table-2",
        row,
        {
            "baseline": run([0.2, 0.4, 0.6], update=80, second=100.0),
            "CGL": run([0.1, 0.3, 0.5], update=10, second=200.0),
            "ONE": {name: value for name, value in run([0.1]).items() if name != "curve"},  # of earlier days
        },
    )
    table = table_called("cgl-table-2")
    assert "hold-out" not in as_text(view_of(table, lab))

    def line_with(words, axis):
        return next(
            one for one in as_text(view_of(table, lab), equal=axis).splitlines() if words in one
        ).split()

    assert line_with("hold-out, 30 updates", "updates")[3:] == ["20.00", "-", "-", "-", "-", "50.00"]
    assert line_with("hold-out, 300 seconds", "spent")[3:] == ["60.00", "-", "-", "-", "-", "10.00"]
    lacking = "after how many seconds, so that they are left out: ResNet-18, CIFAR-100 | ONE."
    assert lacking in as_text(view_of(table, lab), equal="spent")
    assert "left out" not in as_text(view_of(table, lab))
    assert main(["show", "cgl-table-2", "--at=time", "--run_dir", str(tmp_path)]) == 0
    assert "hold-out, 300 seconds" in capsys.readouterr().out
    assert main(["show", "cgl-table-2", "--run_dir", str(tmp_path)]) == 0
    assert "hold-out, 300" not in capsys.readouterr().out
