import dataclasses
import re
from html.parser import HTMLParser

import pytest

from helpers.summaries import summary
from studygroup.report import run_report
from studygroup.report.runs import run_plots
from studygroup.training.describe import score_header, score_table
from studygroup.training.folder import RunFolder
from studygroup.training.history import EpochRow
from studygroup.training.verdict import Outcome


class Balanced(HTMLParser):
    """Counts tags that are open."""

    void = ("meta",)

    def handle_startendtag(self, tag, attrs):
        pass

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.slow
def test_the_page_is_whole_and_needs_nothing_from_outside(finished):
    path = run_report(finished.folder)
    assert path == finished.folder.report
    page = path.read_text(encoding="utf-8")
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert not re.search(r'src=|href="(?!#)|url\((?!#)|@import|<script', page)
    assert "prefers-color-scheme:dark" in page
    for title in (
        "Hold-out accuracy",
        "Supervised loss",
        "Imitation loss",
        "Imitation weight",
        "Learning rate",
    ):
        assert f"<figcaption>{title}</figcaption>" in page
    assert f"{finished.summary.shipped.test:.2%}" in page
    assert "plain baseline" in page
    assert "<title>cgl on digits</title>" in page
    assert f"studygroup train --config {finished.folder.config} --run_dir ANOTHER_FOLDER" in page
    assert "safetensors.torch.load_model" in page
    values = re.findall(
        r'<input type="radio" name="axis-run-1" value="(\w+)" autocomplete="off"( checked)? />', page
    )
    assert values == [("epochs", " checked"), ("updates", ""), ("seconds", "")]
    for (
        name,
        _,
    ) in values:  # a switch is nothing but style: what it shows is in the page, and epochs are shown first
        shown = page.partition(f'<div class="by-{name}">')[2].partition('<div class="by-')[0]
        assert shown.count("<figcaption>Hold-out accuracy</figcaption>") == 1
        assert (f".switched:has([value={name}]:checked) .by-{name}" in page) == (name != "epochs")
    assert ".by-updates,.by-seconds{display:none}" in page
    assert page.count("the plain network: test rows by class".capitalize()) == 1


def epochs(*changes):
    """One row an epoch of two epochs, with the changes of each."""
    row = EpochRow(
        epoch=1, updates=8, seconds=1.0, rows_per_second=9.0, lr=0.1, imitation_weight=0.0, loss=1.0,
        supervised=(1.0,), imitation=(0.0,), holdout=(0.6,), ensemble=0.6, diversity=0.0, disagreement=0.0,
    )  # fmt: skip
    return [dataclasses.replace(row, epoch=epoch, **own) for epoch, own in enumerate(changes, 1)]


ONE = epochs({}, {"supervised": (0.5,), "holdout": (0.7,)})


def words(plots, title):
    return next(plot.words for plot in plots if plot.title == title)


def test_points_that_are_no_numbers_are_left_out():
    rates = epochs({"lr": 0.5}, {"lr": float("nan")}, {"lr": float("inf")})
    assert (
        words(run_plots(rates, [], 1), "Learning rate")
        == "Learning rate over epochs. learning rate: 0.5 at the end."
    )
    assert "Learning rate" not in [plot.title for plot in run_plots(rates[1:], [], 1)]


def test_plots_say_where_lines_end_and_leave_out_what_one_student_has_not():
    plots = run_plots(ONE, [], 1)
    assert [plot.title for plot in plots] == ["Hold-out accuracy", "Supervised loss", "Learning rate"]
    assert plots[0].words == "Hold-out accuracy over epochs. the network: 70 % at the end."
    several = [dataclasses.replace(row, holdout=(*row.holdout, 0.4, 0.6), ensemble=0.9) for row in ONE]
    assert run_plots(several, ONE, 3)[0].words == (
        "Hold-out accuracy over epochs. each student: 40 to 70 % at the end; plain baseline: 70 % at the end; "
        "ensemble: 90 % at the end."
    )


def test_figures_of_teachers_and_objectives_are_drawn_by_their_names():
    rows = epochs({"teachers": {"weight_0": 0.3, "weight_1": 0.7}}, {"teachers": {"weight_0": 0.4}})
    plots = run_plots(rows, [], 1)
    assert words(plots, "The imitation rule's own figures").endswith(
        "over epochs. weight_0: 0.4 at the end; weight_1: 0.7 at the end."
    )
    assert "Further losses" not in [plot.title for plot in plots]


def test_top5_is_told_from_twenty_classes_on():
    assert score_header(summary(classes=19)) == ("", "accuracy")
    assert score_header(summary(classes=20)) == ("", "accuracy", "top-5 accuracy")
    rows = [row.cells for row in score_table(summary(classes=20))]
    assert [row[1:] for row in rows] == [
        ("50.00%", "75.00%"),
        ("25.00%", "62.50%"),
        ("37.50% ± 17.68%", "68.75%"),
        ("25.00%", "62.50%"),
        ("55.00%", "80.00%"),
        ("50.00%", "75.00%"),
        ("45.00%", "70.00%"),
    ]
    assert [row.cells for row in score_table(summary(classes=19))] == [row[:2] for row in rows]


def made_up(folder, **figures):
    """The folder of a run that left a summary and no more."""
    run = RunFolder(folder)
    run.write_summary(summary(**figures))
    return run


@pytest.mark.parametrize(
    ("own", "kind", "sign"), [(0.95, "ahead", "▲"), (0.05, "behind", "▼"), (0.45, "open", "≈")]
)
def test_a_verdict_has_a_colour_a_sign_and_words(own, kind, sign, tmp_path):
    page = run_report(made_up(tmp_path, own=own)).read_text(encoding="utf-8")
    shape = r'<div class="said (\w+)"><p class="outcome"><span aria-hidden="true">(.)</span> (.*)</p>'
    (box,) = re.findall(shape, page)
    assert box == (kind, sign, next(one.value for one in Outcome if one.name.lower() == kind))


def test_the_student_that_ships_is_named_in_the_table(tmp_path):
    page = run_report(made_up(tmp_path, own=0.5)).read_text(encoding="utf-8")
    rows = dict(
        re.findall(r'<tr( class="ships")?><th scope="row">([^<]*<span class="badge">[^<]*)<', page)[::-1]
    )
    assert rows == {
        "": 'student 0 <span class="badge">chosen',
        ' class="ships"': 'shipped: student 0 <span class="badge">this one ships',
    }
    alone = run_report(made_up(tmp_path, students=(0.5,), baseline=None)).read_text(encoding="utf-8")
    assert re.findall(r'<span class="badge">([^<]*)<', alone) == ["this one ships"]
    assert "outcome" not in alone.partition("</style>")[2]
