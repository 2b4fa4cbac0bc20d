"""The plain network that is trained for as long as a method takes: its rows, its runs and the claim."""

import dataclasses
import json

import pytest
from made_up_results import fill

from reproduction.equal_cost import AS_LONG, with_equal_cost
from reproduction.reading import table_called, tables
from reproduction.runner import has_words, wanted_runs
from reproduction.show import as_text
from reproduction.verdicts import judge
from reproduction.view import view_of

ROW = "ResNet-18, CIFAR-10"
BELOW = f"{ROW}, {AS_LONG}"


def test_the_schedule_is_stretched_and_all_else_stays(small):
    table = with_equal_cost(bare(), {"DML": 3, "CGL": 4})
    plain = small.config(table.cells[ROW, "baseline"])
    for column, times in (("DML", 3), ("CGL", 4)):
        longer = small.config(table.cells[BELOW, column])
        assert longer["epochs"] == times * plain["epochs"]
        at = [mark / longer["epochs"] for mark in longer["rate"]["init_args"]["milestones"]]
        assert at == pytest.approx([0.3, 0.6, 0.8], abs=0.5 / longer["epochs"])
        assert {k: v for k, v in longer.items() if k not in ("epochs", "rate")} == {
            k: v for k, v in plain.items() if k not in ("epochs", "rate")
        }
    assert table.rows == (ROW, BELOW)
    assert not table.cells[BELOW, "baseline"].trained
    assert list(table.cells) == [(row, column) for row in table.rows for column in table.columns]


def bare():
    """Table 2 as it is printed, one row of it."""
    table = table_called("cgl-table-2")
    cells = {place: cell for place, cell in table.cells.items() if place[0] == ROW}
    return dataclasses.replace(table, rows=(ROW,), cells=cells, claims=())


def test_methods_that_cost_as_much_share_the_runs(small):
    table = with_equal_cost(bare(), {"DML": 3, "CL-ILR": 2, "CGL": 3})
    keys = {column: small.key(table.cells[BELOW, column]) for column in ("DML", "CL-ILR", "CGL")}
    assert keys["DML"] == keys["CGL"] != keys["CL-ILR"]


def test_nothing_is_added_where_no_time_is_known():
    assert with_equal_cost(bare(), {}) == bare()


def test_a_column_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="as_long has 'KDCL', which is none of the columns baseline, DML"):
        with_equal_cost(bare(), {"KDCL": 3})


def test_they_run_with_the_table_and_by_name(small):
    table = table_called("cgl-table-2")
    all_of_them = [run.cell.place for run in wanted_runs(table, small, seeds=1)]
    assert (BELOW, "DML") in all_of_them
    some = [run.cell.place for run in wanted_runs(table, small, seeds=1, only=["CIFAR-10, DML"])]
    assert some == [(ROW, "DML")]
    named = wanted_runs(table, small, seeds=1, only=[f"CIFAR-10, DML, {AS_LONG}"])
    assert [run.cell.place for run in named] == [(BELOW, "DML")]
    assert has_words(table.cells[BELOW, "DML"], f"{BELOW} | DML")


def test_the_claim_compares_each_method_with_its_own(tmp_path):
    table = with_equal_cost(bare(), {"DML": 3, "CGL": 4})
    numbers = {
        (ROW, "DML"): [62.0, 62.1, 62.2],
        (BELOW, "DML"): [61.0, 61.1, 61.2],
        (ROW, "CGL"): [63.0, 63.1, 63.2],
        (BELOW, "CGL"): [64.0, 64.1, 64.2],
    }
    (judged,) = judge(table, numbers)
    assert [round(one.difference, 6) for one in judged.compared] == [1.0, -1.0]
    assert judged.verdict.value == "does not hold"


def test_a_table_shows_them_below_its_row(tmp_path):
    lab = fill(tmp_path, ["cgl-table-2"])
    said = as_text(view_of(table_called("cgl-table-2"), lab)).splitlines()
    (at,) = (k for k, line in enumerate(said) if line.split("  ")[1:2] == [BELOW])
    assert said[at - 2].strip().startswith(f"{ROW}  ")  # published, ours, and below them this
    assert said[at].count("(3)") == 5
    found = json.loads((tmp_path / "results/cgl-table-2.json").read_text())["cells"]
    assert any(AS_LONG in one["cell"] for one in found.values())


def test_every_table_with_times_has_a_claim_about_them():
    with_times = [table for table in tables().values() if any(AS_LONG in row for row in table.rows)]
    assert "cgl-table-2" in {table.id for table in with_times}
    for table in with_times:
        assert table.claims[-1].says.endswith("trained for as long.")
