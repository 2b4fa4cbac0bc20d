"""The report's page: what it says of made-up results, and what it refuses."""

import re
from html.parser import HTMLParser
from pathlib import Path

import made_up_results
import pytest

from reproduction.command import main
from reproduction.lab import Lab
from reproduction.plan import Price, add_price
from reproduction.reading import table_called, tables
from reproduction.report import report
from reproduction.report.contents import Section
from reproduction.report.costs import costs, duration
from reproduction.report.plots import axis, plots
from reproduction.report.sources import sources
from reproduction.results import Found, keep
from reproduction.scale import SMALL
from reproduction.view import View, baseline_of
from studygroup.analysis.intervals import half_width
from studygroup.report.marks import Mark, compared

ROW = "ResNet-18, CIFAR-100"
SHOWN = ("cgl-table-4", "cgl-table-7", "cgl-figure-4", "intra-table-2", "cgl-figure-5")


class Page(HTMLParser):
    """Tags that are open, tables, and what refers to what."""

    void = ("meta",)

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.headless, self.pictures = [], [], [], 0, []
        self._head = True
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag not in self.void:
            self.open.append(tag)
        if "id" in found:
            self.ids.append(found["id"])
        if found.get("href", "").startswith("#"):
            self.links.append(found["href"][1:])
        if tag == "svg":
            self.pictures.append(found.get("aria-label", ""))
        if tag == "thead":
            self._head = True
        if tag == "table":
            self._head = False
        if tag == "tbody" and not self._head:
            self.headless += 1

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.void:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results of one table with all its seeds, and of one figure, in part, with a seed too few."""
    folder = tmp_path_factory.mktemp("report") / "papers"
    lab = made_up_results.fill(folder, ["cgl-table-4"])
    made_up_results.fill(folder, ["cgl-figure-5"], seeds=2, skip=("3 layers shared", "5 layers shared"))
    cell = table_called("cgl-table-4").cells[ROW, "full CGL"]
    made_up_results.analyse(lab.folder(lab.key(cell), 0).path)
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return report([str(folder)], tables=SHOWN).read_text(encoding="utf-8")


def test_a_plot_says_how_its_numbers_came_about():
    table = table_called("cgl-appendix-cost")
    (one, *_) = plots(table, {place: [1.0] for place in table.cells})
    assert one.note == "Filled: ours, counted. Hollow: published; each side has an axis of its own."
    figure = table_called("cgl-figure-5")
    (one, *_) = plots(figure, {place: [1.0] for place in figure.cells})
    assert one.note == "Ours, no intervals below 3 seeds. No numbers are published beside them."


@pytest.mark.slow
def test_the_page_is_whole_and_needs_nothing_from_outside(page):
    found = Page(page)
    assert found.open == []
    assert len(found.ids) == len({*found.ids})
    assert set(found.links) <= set(found.ids)
    assert found.headless == 0
    assert not re.search(r'src=|href="(?!#)|url\((?!#)|@import|<script', page)
    assert "default-src 'none'" in page
    for style in ("prefers-color-scheme:dark", "@media print", "max-width:40rem"):
        assert style in page


def test_ours_stand_beside_what_is_published(page):
    assert re.search(r"ours</th><td>6\d\.\d\d <small>± 0\.\d\d</small> <small>\(3\)</small>", page)
    assert "<td>78.01</td><td>75.75</td><td>77.48</td><td>77.23</td>" in page
    assert page.count("<small>(2)</small>") == 2  # a third cell of the figure is one of the table
    assert "No numbers are published" in page
    assert "&lt;fast&gt; processor" in page
    assert "python -m reproduction run ID --jobs 2" in page


def test_conclusions_that_are_not_tested_are_folded_behind_those_that_are(folder, page):
    table = table_called("cgl-table-4")
    section = Section(table, Lab(run_dir=folder), Lab(run_dir=folder).found(table))
    assert len(section.claim_rows) + len(section.untested_rows) == len(table.claims)
    assert section.claim_rows
    assert "untested" not in [verdict for *_, verdict, _ in section.claim_rows]
    shape = r'<details class="untested"><summary>(\d+) conclusions? not tested</summary>'
    told = [
        Section(one, Lab(run_dir=folder), Lab(run_dir=folder).found(one)) for one in map(table_called, SHOWN)
    ]
    counts = sorted(n for one in told if (n := len(one.untested_rows)))
    assert sorted(map(int, re.findall(shape, page))) == counts
    outside = re.sub(r'<details class="untested">.*?</table>', "", page.partition("</style>")[2], flags=re.S)
    assert 'class="verdict untested"' not in outside
    assert 'class="verdict ' in outside


def test_every_plot_says_what_it_shows(page):
    said = Page(page).pictures
    assert all(words.endswith(".") and len(words) > 40 for words in said)
    kinds = (
        "Figure 4",
        "parameter-sharing",
        "training time",
        "over updates",
        "reliability",
        "Gaussian noise",
        "CKA",
        "Loss",
    )
    assert [kind for kind in kinds if not any(kind in words for words in said)] == []
    assert "#0101" not in page  # colours are those of the style sheet
    assert "DejaVu" not in page


def test_analyses_of_a_run_stand_in_one_row(page):
    figures = (
        "7.00",
        "0.0810",
        "0.0430",
        "64.00%",
        "+2.00",
        "0.310",
        "20.00%",
        "40.7%",
        "17",
        "0.500",
        "0.550",
    )
    cells = r"\s*".join(f"<td[^>]*>{re.escape(figure)}</td>" for figure in figures)
    assert re.search(cells, page)


def test_analyses_of_another_scale_are_not_those_of_a_table(tmp_path):
    flat = {"sigmas": [0.01], "accuracy": [0.5], "std": [0.0], "clean": 0.6, "relative": False, "draws": 1}
    made_up_results.fill(
        tmp_path, ["cgl-figure-6"], seeds=1, flatness=flat | {"drop": 7.0, "reference": 0.01}
    )
    lab = Lab(run_dir=tmp_path, scale=SMALL.changed(epochs=3))
    table = table_called("cgl-figure-6")
    for cell in table.runnable:
        drop = {"flatness": flat | {"drop": 77.0, "reference": 0.01}}
        figures = made_up_results.fake(cell, 0) | drop
        settings = lab.config(cell) | {"data": "made_up"}
        keep(lab.results_dir, table, cell, lab.key(cell), seed=0, settings=settings, found=figures)
    said = report([str(tmp_path)], tables=["cgl-figure-6"]).read_text(encoding="utf-8")
    assert ">7.00<" in said
    assert "77.00" not in said


def test_what_is_missing_is_told_with_its_reason(page):
    gaps = page[page.index('<h2 id="gaps">') : page.index('<h2 id="made">')]
    said = re.sub(r"<[^>]+>", " ", gaps)
    assert f"no runs of 2 of 5 cells: {ROW} (3 layers shared, 5 layers shared)" in said
    assert "fewer than 3 seeds" in said
    assert "ImageNet32, STL-10 are not at hand" in said
    assert "Table 4" not in said  # nothing is missing of it
    assert "hours" not in said
    assert "what they would take was not measured: `python -m reproduction plan cgl-figure-5` does" in said


def test_what_is_missing_is_told_with_its_measured_hours(tmp_path):
    """A run of each layer's figure is made for 2 of 3 seeds, 2 cells have none, 1 of these is not priced."""
    lab = made_up_results.fill(
        tmp_path, ["cgl-figure-5"], seeds=2, skip=("3 layers shared", "5 layers shared")
    )
    figure = table_called("cgl-figure-5")
    keys = [lab.key(cell) for cell in figure.runnable if cell.place[1] != "5 layers shared"]
    for key in keys:
        add_price(lab.results_dir, key, Price(3.6, 1000, 0.36, 1000, "a <fast> processor"))  # 1.1 hours
    said = report([str(tmp_path)], tables=["cgl-figure-5"]).read_text(encoding="utf-8")
    left = sum(
        1 if cell.place[1] not in ("3 layers shared", "5 layers shared") else 3 for cell in figure.runnable
    )
    assert left == 1 + 1 + 1 + 3 + 3
    assert (
        f"{left} runs are missing of 3 seeds, {left - 3} of them would take about {1.1 * (left - 3):.1f} hours one "
        "after the other, by a measured step of each on a &lt;fast&gt; processor; the others were not measured"
    ) in said


def test_the_top_counts(page):
    tiles = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^/]*)</small>", page))
    assert tiles["tables and figures with results"] == "3 <small>of 5"  # a cell of Figure 4 is one of Table 4
    runnable = sum(len(table_called(id).runnable) for id in SHOWN)
    assert next(v for k, v in tiles.items() if "3 seeds or more" in k).endswith(f"of {runnable}")


def test_marks_need_three_seeds_and_an_interval_without_zero():
    low, high = [60.0, 60.1, 60.2], [61.0, 61.1, 61.2]
    assert compared(high, low) is Mark.BETTER
    assert compared(low, high) is Mark.WORSE
    assert compared(high, low, sign=-1) is Mark.WORSE
    assert compared([60.0, 60.2, 60.5], low) is Mark.OPEN
    assert compared(high[:2], low) is compared(high, low[:2]) is Mark.NONE


def mark_of(table, place, values):
    """The mark of a cell, of made-up numbers."""
    found = {place: Found("", "", {}) for place in values}
    section = Section(table, Lab(run_dir=Path("nowhere")), found)
    vars(section)["values"] = values
    return section.mark(table.cells[place])


def test_the_baseline_is_that_of_the_row_or_the_column():
    table = table_called("cgl-table-2")
    assert baseline_of(table, table.cells[ROW, "CGL"]).place == (ROW, "baseline")
    assert baseline_of(table, table.cells[ROW, "baseline"]) is None
    alone = table_called("cgl-figure-5")
    assert baseline_of(alone, next(iter(alone.cells.values()))) is None
    values = {(ROW, "baseline"): [60.0, 60.1, 60.2], (ROW, "CGL"): [59.0, 59.1, 59.2]}
    assert mark_of(table, (ROW, "CGL"), values) is Mark.WORSE
    wide = table_called("intra-table-1")  # a wider network, and one of fewer rows, are held against it, too
    assert baseline_of(wide, wide.cells["CIFAR-10, VGG-16", "baseline(2x)"]).place == (
        "CIFAR-10, VGG-16",
        "baseline",
    )
    values = {
        ("CIFAR-10, VGG-16", "baseline"): [6.0, 6.1, 6.2],
        ("CIFAR-10, VGG-16", "baseline(2x)"): [3.0, 3.1, 3.2],
    }
    assert mark_of(wide, ("CIFAR-10, VGG-16", "baseline(2x)"), values) is Mark.BETTER
    few = table_called("regime-epochs")
    assert baseline_of(few, few.cells["72 epochs", "an eighth of the rows"]).place == (
        "72 epochs",
        "baseline",
    )
    assert baseline_of(few, few.cells["72 epochs", "baseline"]) is None
    errors = table_called("intra-figure-2")
    values = {("10 %", "baseline"): [60.0, 60.1, 60.2], ("10 %", "out"): [59.0, 59.1, 59.2]}
    assert mark_of(errors, ("10 %", "out"), values) is Mark.BETTER


@pytest.mark.parametrize(
    ("labels", "at", "unit"),
    [
        (["10 %", "20 %", "50 %"], [10, 20, 50], "%"),
        (["3 students", "4 students", "16 students"], [3, 4, 16], "students"),
        (["0.125", "0.25", "1.0"], [0.125, 0.25, 1.0], ""),
        (["1,000", "5,000", "20,000"], [1000, 5000, 20000], ""),
        (["cost, 3 students", "cost, 4 students", "cost, 8 students"], [3, 4, 8], "students"),
    ],
)
def test_labels_that_are_numbers_of_one_unit_are_an_axis(labels, at, unit):
    found = axis(labels)
    assert list(found.at.values()) == at
    assert found.unit == unit


@pytest.mark.parametrize(
    "labels",
    [["1", "2", "3"], ["10", "20"], ["8 modules", "2 modules", "3 layers shared"], ["DML", "CGL", "ONE"],
     ["20,000 x 20", "5,000 x 80", "40,000 x 20", "20,000 x 40"]],
)  # fmt: skip
def test_other_labels_are_names(labels):
    assert axis(labels) is None


def test_the_interval_of_a_mean():
    assert half_width([1.0, 2.0]) == 0.0
    assert half_width([1.0, 2.0, 3.0]) == pytest.approx(4.302653 / 3**0.5)  # t of 2 degrees of freedom


def test_cells_of_one_column_are_held_beside_one_another():
    table = table_called("regime-settings")
    curves = {
        "baseline": {"updates": [10, 20], "spent": [1.0, 2.0], "holdout": [0.5, 0.75]},
        "CGL": {"updates": [5, 10], "spent": [2.0, 4.0], "holdout": [0.25, 0.5]},
    }
    found = {
        (row, "CIFAR-10"): Found(
            "some",
            row,
            {0: {"test": 0.5, "curve": c, "seconds": 9, "spent": c["spent"][-1], "updates": 0}},
        )
        for row, c in curves.items()
    }
    ((said, equal),) = costs(View(table, Lab(run_dir=Path("nowhere")), found)).equal
    assert said == "CIFAR-10: after 2 s, after 10 updates"
    assert equal == [
        ["baseline", "1", "75.00", "50.00"], ["CGL", "1", "25.00", "50.00"],
    ]  # fmt: skip


def test_durations():
    assert [duration(s) for s in (42, 750, 11160)] == ["42 s", "12.5 min", "3.1 h"]


def test_results_alone_are_enough_and_other_settings_are_counted(folder, tmp_path, capsys):
    out = tmp_path / "page.html"
    options = ["--tables", '["cgl-table-4"]', "--epochs", "65"]  # as many as the scale has
    assert main(["report", str(folder / "results"), "--out", str(out), *options]) == 0
    assert capsys.readouterr().out == f"wrote {out}\n"
    text = re.sub(r"\s+", " ", out.read_text(encoding="utf-8"))
    assert "The results also hold 4 runs of 2 configurations" in text
    assert "Reliability" not in text
    assert "<code>python -m reproduction run ID --scale small --epochs 65</code>" in text


def test_a_folder_of_nothing_is_refused(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert "holds no results; give a --run_dir of `python -m reproduction run`" in capsys.readouterr().err
    (tmp_path / "summary.json").write_text("{}")  # a run alone
    with pytest.raises(
        ValueError, match="no folder has results of a table; `studygroup report` makes a page"
    ):
        report([str(tmp_path)], out=str(tmp_path / "page.html"))


def test_an_unknown_table_is_told_with_near_ones(folder):
    with pytest.raises(ValueError, match=r"no table 'cgl-tabel-4' \(near: 'cgl-table-4'"):
        report([str(folder)], tables=["cgl-tabel-4"])


def test_folders_on_other_data_are_not_mixed(tmp_path):
    for name in ("one", "other"):
        made_up_results.fill(tmp_path / name, ["cgl-table-4"], seeds=1)
    path = tmp_path / "other" / "results" / "cgl-table-4.json"
    path.write_text(path.read_text().replace("made_up", "else"))
    with pytest.raises(ValueError, match=r"has runs on else where another folder has them on made_up"):
        report([str(tmp_path / "one"), str(tmp_path / "other")], tables=["cgl-table-4"])


def test_ranks_are_those_of_the_runs_of_all_folders(tmp_path):
    first, last = ([*map(str, some)] for some in (range(1, 5), range(5, 9)))
    whole = made_up_results.fill(tmp_path / "whole", ["cgl-table-7"], seeds=1)
    made_up_results.fill(tmp_path / "one", ["cgl-table-7"], seeds=1, skip=last)
    made_up_results.fill(tmp_path / "other", ["cgl-table-7"], seeds=1, skip=first)
    table = table_called("cgl-table-7")
    folders = [str(tmp_path / name) for name in ("one", "other")]
    found = sources(folders, ids=[table.id]).whole.found(table)
    ranks = {place: some.runs for place, some in whole.found(table).items() if place[0] == "CIFAR-10, rank"}
    assert len(ranks) == 8
    assert {place: found[place].runs for place in ranks} == ranks


def test_tables_without_results_are_shown_closed(page):
    assert set(SHOWN) <= set(tables())
    assert '<details class="bare" id="cgl-table-7">' in page
    assert '<article id="cgl-table-4"' in page
