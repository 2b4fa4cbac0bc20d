import re
from html.parser import HTMLParser

from studygroup.report import run_report
from studygroup.report.runs import _lines, _with_prefix, run_plots
from studygroup.training.describe import score_header, score_rows


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
    assert f"{finished.summary['shipped']['test']:.2%}" in page
    assert "plain baseline" in page
    assert "<title>cgl on digits</title>" in page
    assert f"studygroup train --config {finished.folder.config} --run_dir ANOTHER_FOLDER" in page
    assert "safetensors.torch.load_model" in page


def test_points_that_are_no_numbers_are_left_out():
    nan, inf = float("nan"), float("inf")
    rows = [{"epoch": 1.0, "a": 0.5}, {"epoch": 2.0, "a": nan}, {"epoch": 3.0, "a": inf}, {"epoch": 4.0}]
    (found,) = _lines(rows, ["a", "b"], "name", color="red")
    assert found == ("name", [([1.0], [0.5])], {"color": "red"})
    assert _lines(rows[1:], ["a"], "name") == []


def test_plots_say_where_lines_end_and_leave_out_what_one_student_has_not():
    rows = [
        {"epoch": float(epoch), "holdout_0": 0.5 + epoch / 10, "supervised_0": 1 / epoch, "lr": 0.1,
         "holdout_diversity": 0.0, "imitation_weight": 0.0}
        for epoch in (1, 2)
    ]  # fmt: skip
    plots = run_plots(rows, [], 1)
    assert [plot.title for plot in plots] == ["Hold-out accuracy", "Supervised loss", "Learning rate"]
    assert plots[0].words == "Hold-out accuracy over epochs. the network: 70 % at the end."
    several = [row | {"holdout_1": 0.4, "holdout_2": 0.6, "holdout_ensemble": 0.9} for row in rows]
    assert run_plots(several, rows, 3)[0].words == (
        "Hold-out accuracy over epochs. each student: 40 to 70 % at the end; plain baseline: 70 % at the end; "
        "ensemble: 90 % at the end."
    )


def test_columns_of_a_kind_are_drawn_by_the_rest_of_their_names():
    rows = [
        {"epoch": 1.0, "listen_weight_0": 0.3, "listen_weight_1": 0.7},
        {"epoch": 2.0, "listen_weight_0": 0.4},
    ]
    first, second = _with_prefix(rows, "listen_")
    assert (first.label, first.points) == ("weight_0", [([1.0, 2.0], [0.3, 0.4])])
    assert (second.label, second.points) == ("weight_1", [([1.0], [0.7])])
    assert first.style["color"] != second.style["color"]
    assert _with_prefix(rows, "auxiliary_") == []


def summary_of(classes):
    return {
        "run": {"students": 2, "classes": ["x"] * classes},
        "test": {
            "students": [0.5, 0.25],
            "students_top5": [0.75, 0.625],
            "mean": 0.375,
            "std": 0.1768,
            "mean_top5": 0.6875,
            "random": {"student": 1, "accuracy": 0.25},
            "ensemble": 0.55,
            "ensemble_top5": 0.8,
        },
        "shipped": {"student": 0, "reestimated_bn": False, "test": 0.5, "test_top5": 0.75},
        "baseline": {"test": 0.45, "test_top5": 0.7},
    }


def test_top5_is_told_from_twenty_classes_on():
    assert score_header(summary_of(19)) == ("", "accuracy")
    assert score_header(summary_of(20)) == ("", "accuracy", "top-5 accuracy")
    rows = score_rows(summary_of(20))
    assert [row[1:] for row in rows] == [
        ("50.00%", "75.00%"),
        ("25.00%", "62.50%"),
        ("37.50% ± 17.68%", "68.75%"),
        ("25.00%", "62.50%"),
        ("55.00%", "80.00%"),
        ("50.00%", "75.00%"),
        ("45.00%", "70.00%"),
    ]
    assert score_rows(summary_of(19)) == [row[:2] for row in rows]
