"""Tables in the papers' layout, beside made-up results."""

import dataclasses
import json

import pytest

from reproduction.command import main
from reproduction.lab import Lab
from reproduction.reading import table_called, tables
from reproduction.results import keep
from reproduction.scale import SMALL
from reproduction.show import as_markdown, as_text
from reproduction.view import view_of

FIGURES = {"test": 0.5, "test_top5": 0.8, "diversity": 0.25}
ROW = "ResNet-18, CIFAR-100"


def made_up(lab, id, cells, *, seeds=3, **figures):
    """Keeps results of a table: accuracy of each column, 0.1 points more with each seed."""
    table = table_called(id)
    for (row, column), test in cells.items():
        cell = table.cells[row, column]
        settings = lab.config(cell) | {"data": "cifar100_small"}
        for seed in range(seeds):
            found = FIGURES | {"test": test + seed / 1000} | figures
            keep(lab.results_dir, table, cell, lab.key(cell), seed=seed, settings=settings, found=found)


@pytest.fixture
def lab(tmp_path):
    return Lab(run_dir=tmp_path, scale=SMALL)


def test_published_and_ours_side_by_side(lab):
    made_up(lab, "cgl-table-4", {(ROW, "full CGL"): 0.62, (ROW, "without random routing"): 0.6})
    lines = as_text(view_of(table_called("cgl-table-4"), lab)).splitlines()
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
    tested, _, untested = said.partition("Claims not tested, 2:")
    assert tested.index("\nClaims:") < tested.index("[holds]")
    assert "[not tested]" not in tested
    assert "[holds]" not in untested


def test_runs_are_found_by_their_key_however_their_settings_were_written(tmp_path):
    table = table_called("regime-settings")
    spelled, asked = (
        Lab(run_dir=tmp_path, change=change) for change in ({"accelerator": "gpu"}, {"workers": 2})
    )
    cell = table.cells["apart", "CIFAR-10"]
    assert (spelled.config(cell), spelled.key(cell)) != (asked.config(cell), asked.key(cell))
    assert spelled.key(cell) == asked.key(cell)
    settings = spelled.config(cell) | {"data": "made_up"}
    keep(spelled.results_dir, table, cell, spelled.key(cell), seed=0, settings=settings, found=FIGURES)
    assert asked.found(table)[cell.place].runs[0]["test"] == 0.5


def test_each_comparison_of_a_claim_is_told(lab):
    cells = {(ROW, column): 0.6 for column in ("baseline", "DML", "CL-ILR", "ONE", "OKDDip")}
    made_up(lab, "cgl-table-2", cells | {(ROW, "CGL"): 0.3})
    lines = [line.strip() for line in as_text(view_of(table_called("cgl-table-2"), lab)).splitlines()]
    at = lines.index("[does not hold] CGL significantly outperforms all other methods.")
    assert lines[at + 1].endswith("here: 5 do not hold, 10 not tested")
    assert lines[at + 2] == f"{ROW}: CGL against baseline: does not hold, -30 [-30.2, -29.8] at 95%"
    assert [line.partition(": ")[0] for line in lines[at + 2 : at + 7]] == [ROW] * 5


def test_a_gain_is_told_by_its_two_rows(lab):
    table = table_called("intra-figure-2")
    cells = {(row, column): 0.6 for row in ("10 %", "50 %") for column in ("baseline", "mid")}
    made_up(lab, "intra-figure-2", cells | {("50 %", "mid"): 0.7})
    said = as_text(view_of(table, lab))
    assert "gain of mid over baseline: 50 % against 10 %: holds, +10 [+9.73, +10.3] at 95%" in said


def test_what_is_kept_under_noise_is_above_chance(lab):
    flat = {"sigmas": [0.01, 0.02], "accuracy": [0.5, 0.3], "clean": 0.51, "reference": 0.02, "drop": 21.0}
    made_up(lab, "cgl-table-2", {(ROW, "CGL"): 0.51}, flatness=flat, classes=100)
    said = as_markdown(view_of(table_called("cgl-figure-6"), lab))
    assert f"| kept, {ROW} | - | - | - | - | - | - / 58.0 ± 0.0 (3) |" in said  # (30 - 1) / (51 - 1)
    made_up(lab, "cgl-table-2", {(ROW, "CGL"): 0.01}, flatness=flat | {"clean": 0.01}, classes=100)
    assert f"| kept, {ROW} | - | - | - | - | - | - |" in as_markdown(
        view_of(table_called("cgl-figure-6"), lab)
    )


def test_markdown(lab):
    made_up(lab, "cgl-table-4", {(ROW, "full CGL"): 0.62}, seeds=1)
    said = as_markdown(view_of(table_called("cgl-table-4"), lab))
    assert f"| {ROW} | 78.01 / 62.00 (1) | 75.75 | 77.48 | 77.23 |" in said
    for part in (
        "7,000 rows, 2,000 of them held out, 65 epochs, 64 rows an update, 8 of each student that",
        "rows of its own, 1/4 of the width, pictures of 8 x 8 (cifar_resnet18 on cifar100)",
    ):
        assert part in said
    assert "| agree, +2.26 | not tested: fewer than 3 seeds |" in said
    assert (
        f"<details><summary>{len(table_called('cgl-table-4').claims)} claims not tested</summary>\n\n| claim |"
        in said
    )
    widths = {line.count("|") for line in said.splitlines()[4:7]}
    assert widths == {6}


def test_a_cell_shared_by_tables_is_shown_in_all(lab):
    made_up(lab, "cgl-table-2", {(ROW, "CGL"): 0.62})
    for id, column in (("cgl-table-4", "full CGL"), ("cgl-table-5", "20")):
        assert list(lab.found(table_called(id))) == [(ROW, column)]
    said = as_text(view_of(table_called("cgl-figure-4"), lab))
    assert "62.10 ± 0.10 (3)" in said
    assert "0.250 ± 0.000 (3)" in said
    other = dataclasses.replace(lab, scale=SMALL.changed(epochs=41))
    assert other.found(table_called("cgl-table-4")) == {}


def test_errors_are_shown_where_the_paper_has_errors(lab):
    made_up(lab, "intra-figure-2", {("10 %", "baseline"): 0.6})
    assert "39.90 ± 0.10 (3)" in as_markdown(view_of(table_called("intra-figure-2"), lab))
    place = ("ImageNet32, VGG-16", "baseline")
    made_up(lab, "intra-table-2", {place: 0.3})
    assert "33.08 / 20.00 ± 0.00 (3)" in as_markdown(view_of(table_called("intra-table-2"), lab))  # top-5


def test_what_still_changes_at_the_end_is_named(lab):
    def curve(*holdout):
        return {"curve": {"holdout": [*holdout], "updates": [1, 2, 3, 4, 5]}}

    made_up(lab, "cgl-table-2", {(ROW, "DML"): 0.6}, **curve(0.1, 0.2, 0.3, 0.600, 0.6049))
    assert "ot converged" not in as_text(view_of(table_called("cgl-table-2"), lab))
    made_up(lab, "cgl-table-2", {(ROW, "baseline"): 0.6}, **curve(0.1, 0.2, 0.3, 0.600, 0.612))
    made_up(lab, "cgl-table-2", {(ROW, "CGL"): 0.6}, **curve(0.1, 0.2, 0.3, 0.600, 0.592))
    said = as_text(view_of(table_called("cgl-table-2"), lab))
    how = (
        "Not shown to have converged, hold-out accuracy changed by so many points in the last fifth of the epochs, "
        "mean over seeds"
    )
    assert f"{how}: {ROW} | baseline (+1.2), {ROW} | CGL (-0.8)." in said
    made_up(
        lab,
        "cgl-table-2",
        {(ROW, "ONE"): 0.6},
        curve={"holdout": [0.1, 0.2, 0.3, 0.5], "updates": [1, 2, 3, 4]},
    )
    said = as_text(view_of(table_called("cgl-table-2"), lab))
    assert f"not known, for want of a curve of five epochs or more: {ROW} | ONE." in said


def test_a_printed_difference_is_told_beside_ours(lab):
    row = "CIFAR-100, ResNet-18"
    made_up(lab, "intra-table-1", {(row, "mid"): 0.6, (row, "mid+pull-push+kernel"): 0.61})
    said = as_text(view_of(table_called("intra-table-1"), lab))
    assert "here: +1 [+0.773, +1.23] at 95%; the text's +1 is within" in said  # 0.1 x 2.776 x sqrt(2 / 3)
    made_up(lab, "intra-table-1", {(row, "mid+pull-push+kernel"): 0.65})
    said = as_text(view_of(table_called("intra-table-1"), lab))
    assert "[holds] The best combination reduces the error further, by 1.00" in said
    assert "here: +5 [+4.77, +5.23] at 95%; the text's +1 is not within" in said


def test_what_would_show_nothing_is_refused(tmp_path, capsys):
    assert main(["show", "cgl-table-2", f"--results={tmp_path}/x"]) == 1
    assert f"there is no folder {tmp_path}/x" in capsys.readouterr().err
    assert main(["table", "cgl-table-2", '--change={"nonsense": 1}']) == 1
    assert "nonsense" in capsys.readouterr().err


def test_results_lie_on_few_lines(lab):
    made_up(lab, "cgl-table-2", {(ROW, "baseline"): 0.6, (ROW, "CGL"): 0.6})
    text = (lab.results_dir / "cgl-table-2.json").read_text()
    assert len(text.splitlines()) < 30
    content = json.loads(text)
    assert list(content) == ["table", "title", "made", "cells"]
    assert (
        content["cells"][lab.key(table_called("cgl-table-2").cells[ROW, "CGL"])]["seeds"]["2"]["test"]
        == 0.602
    )


def test_damaged_results_are_named(lab):
    lab.results_dir.mkdir()
    (lab.results_dir / "cgl-table-2.json").write_text('{"cells": ')
    with pytest.raises(ValueError, match=r"cgl-table-2\.json cannot be read"):
        lab.read_results()
    made_up(lab, "cgl-table-4", {(ROW, "full CGL"): 0.62}, seeds=1)
    path = lab.results_dir / "cgl-table-4.json"
    (lab.results_dir / "cgl-table-2.json").unlink()
    for damage, key in (
        (lambda content, cell: cell["seeds"]["0"].update(test="<b>"), r"seeds\.0\.test='<b>'"),
        (lambda content, cell: cell["seeds"].update(zero={}), "'zero' is no seed"),
        (lambda content, cell: cell["seeds"]["0"].update(curve={"holdout": 3}), r"curve\.holdout=3"),
        (lambda content, cell: cell.update(data=[]), r"data=\[\]"),
        (lambda content, cell: cell.pop("settings"), r"lacks .*settings"),
        (lambda content, cell: content.update(made={}), "made="),
    ):
        content = json.loads(path.read_text())
        damage(content, next(iter(content["cells"].values())))
        damaged = lab.results_dir / "cgl-table-2.json"
        damaged.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=rf"cgl-table-2\.json .*{key}"):
            lab.read_results()


def test_all_tables_are_listed(lab, capsys):
    made_up(lab, "cgl-table-4", {(ROW, "full CGL"): 0.62}, seeds=2)
    assert main(["list", "--run_dir", str(lab.run_dir), "--seeds=1"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()[1:]}
    assert list(lines) == list(tables())
    assert lines["cgl-table-4"].endswith("1 of 4")
    assert lines["cgl-figure-4"].endswith("1 of 5")
    assert lines["cgl-table-7"].endswith("0 of 16")
    assert lines["cgl-table-1"].endswith("published only")
    assert lines["cgl-figure-3b"].endswith("counted")
    assert lines["cgl-appendix-convergence"].endswith("made of other runs")
    assert lines["cgl-figure-3b"].endswith("counted")


@pytest.mark.long
def test_all_tables_can_be_shown(lab, capsys):
    for table in tables().values():
        said = as_text(view_of(table, lab))
        assert all(row in said for row in table.rows)
        assert all(claim.says in said for claim in table.claims)
        assert table.title in as_markdown(view_of(table, lab))
    for name, begin in (("show", "Collaborative Group Learning\n"), ("table", "### Table 6")):
        assert main([name, "cgl-table-6", "--run_dir", str(lab.run_dir)]) == 0
        assert capsys.readouterr().out.startswith(begin)


def test_an_unknown_table_is_told_with_near_ones(capsys):
    assert main(["show", "cgl-tabel-2"]) == 1
    assert "no table 'cgl-tabel-2' (near: 'cgl-table-2'" in capsys.readouterr().err
