"""Tables in the papers' layout, beside made-up results."""

import dataclasses
import json

import pytest

from studygroup.cli import main
from studygroup.papers import SMALL, Lab, table_called, tables
from studygroup.papers.results import keep
from studygroup.papers.show import markdown, shown

FIGURES = {"test": 0.5, "test_top5": 0.8, "diversity": 0.25, "last_fifth": 0.001}
ROW = "ResNet-18, CIFAR-100"


def made_up(lab, id, cells, *, seeds=3, **figures):
    """Keeps results of a table: accuracy of each column, 0.1 points more with each seed."""
    table = table_called(id)
    for (row, column), test in cells.items():
        cell = table.cells[row, column]
        settings = lab.config(cell) | {"data": "cifar100_small"}
        for seed in range(seeds):
            found = FIGURES | {"test": test + seed / 1000} | figures
            keep(lab.kept, table, cell, lab.key(cell), seed=seed, settings=settings, found=found)


@pytest.fixture
def lab(tmp_path):
    return Lab(run_dir=tmp_path, scale=SMALL)


def test_published_and_ours_side_by_side(lab):
    made_up(lab, "cgl-table-4", {(ROW, "full CGL"): 0.62, (ROW, "without random routing"): 0.6})
    lines = shown(table_called("cgl-table-4"), lab).splitlines()
    head, published, ours = lines[3:6]
    assert published.split() == [
        *["ResNet-18,", "CIFAR-100", "published"],
        "78.01",
        "75.75",
        "77.48",
        "77.23",
    ]
    assert ours.split("  ")[-1].strip() == "-"
    at = head.index("full CGL")
    assert ours[at:].startswith("62.10 ± 0.10 (3)")
    assert published[at:].startswith("78.01")
    assert "CIFAR-100 is `cifar100_small` here." in lines
    said = "\n".join(lines)
    assert "[holds] Random routing brings a highly effective knowledge transfer." in said
    assert "published numbers: agree, +2.26; here: +2 [+1.77, +2.23] at 95%" in said
    assert said.count("[not tested]") == 2


def test_markdown(lab):
    made_up(lab, "cgl-table-4", {(ROW, "full CGL"): 0.62}, seeds=1)
    said = markdown(table_called("cgl-table-4"), lab)
    assert f"| {ROW} | 78.01 / 62.00 (1) | 75.75 | 77.48 | 77.23 |" in said
    assert "20,000 rows, 40 epochs, 1/4 of the width, pictures of 16 x 16 (cifar_resnet18)" in said
    assert "| agree, +2.26 | not tested: fewer than 3 seeds |" in said
    widths = {line.count("|") for line in said.splitlines()[4:7]}
    assert widths == {6}


def test_a_cell_shared_by_tables_is_shown_in_all(lab):
    made_up(lab, "cgl-table-2", {(ROW, "CGL"): 0.62})
    for id, column in (("cgl-table-4", "full CGL"), ("cgl-table-5", "20")):
        assert list(lab.found(table_called(id))) == [(ROW, column)]
    said = shown(table_called("cgl-figure-4"), lab)
    assert "62.10 ± 0.10 (3)" in said
    assert "0.250 ± 0.000 (3)" in said
    other = dataclasses.replace(lab, scale=SMALL.changed(epochs=41))
    assert other.found(table_called("cgl-table-4")) == {}


def test_errors_are_shown_where_the_paper_has_errors(lab):
    made_up(lab, "intra-figure-2", {("10 %", "baseline"): 0.6})
    assert "39.90 ± 0.10 (3)" in markdown(table_called("intra-figure-2"), lab)
    place = ("ImageNet32, VGG-16", "baseline")
    made_up(lab, "intra-table-2", {place: 0.3})
    assert "33.08 / 20.00 ± 0.00 (3)" in markdown(table_called("intra-table-2"), lab)  # top-5


def test_a_baseline_that_still_rises_is_named(lab):
    made_up(lab, "cgl-table-2", {(ROW, "baseline"): 0.6, (ROW, "CGL"): 0.6}, last_fifth=0.012)
    said = shown(table_called("cgl-table-2"), lab)
    assert f"{ROW} | baseline: not converged, hold-out accuracy rose by 1.2 points in the last fifth." in said
    assert said.count("not converged") == 1
    made_up(lab, "cgl-table-2", {(ROW, "baseline"): 0.6}, last_fifth=0.004)
    assert "not converged" not in shown(table_called("cgl-table-2"), lab)


def test_results_lie_on_few_lines(lab):
    made_up(lab, "cgl-table-2", {(ROW, "baseline"): 0.6, (ROW, "CGL"): 0.6})
    text = (lab.kept / "cgl-table-2.json").read_text()
    assert len(text.splitlines()) < 30
    content = json.loads(text)
    assert list(content) == ["table", "title", "made", "cells"]
    assert (
        content["cells"][lab.key(table_called("cgl-table-2").cells[ROW, "CGL"])]["seeds"]["2"]["test"]
        == 0.602
    )


def test_damaged_results_are_named(lab):
    lab.kept.mkdir()
    (lab.kept / "cgl-table-2.json").write_text('{"cells": ')
    with pytest.raises(ValueError, match=r"cgl-table-2\.json cannot be read"):
        lab.known()


def test_all_tables_are_listed(lab, capsys):
    made_up(lab, "cgl-table-4", {(ROW, "full CGL"): 0.62}, seeds=2)
    assert main(["papers", "list", "--run_dir", str(lab.run_dir), "--seeds=1"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()[1:]}
    assert list(lines) == list(tables())
    assert lines["cgl-table-4"].endswith("1 of 4")
    assert lines["cgl-figure-4"].endswith("1 of 5")
    assert lines["cgl-table-7"].endswith("0 of 16")
    assert lines["cgl-table-1"].endswith("published only")
    assert lines["cgl-figure-3b"].endswith("counted")
    assert lines["cgl-appendix-convergence"].endswith("made of other runs")
    assert lines["cgl-figure-3b"].endswith("counted")


@pytest.mark.slow
def test_all_tables_can_be_shown(lab, capsys):
    for table in tables().values():
        said = shown(table, lab)
        assert all(row in said for row in table.rows)
        assert all(claim.says in said for claim in table.claims)
        assert table.title in markdown(table, lab)
    for name, begin in (("show", "Collaborative Group Learning\n"), ("table", "### Table 6")):
        assert main(["papers", name, "cgl-table-6", "--run_dir", str(lab.run_dir)]) == 0
        assert capsys.readouterr().out.startswith(begin)


def test_an_unknown_table_is_told_with_near_ones(capsys):
    assert main(["papers", "show", "cgl-tabel-2"]) == 1
    assert "no table 'cgl-tabel-2' (near: 'cgl-table-2'" in capsys.readouterr().err
