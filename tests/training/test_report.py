import re
from html.parser import HTMLParser

import pytest

from studygroup.training.report.curves import Curve, chart, ticks
from studygroup.training.report.page import _named
from studygroup.training.report.tables import score_head, scores


class Balanced(HTMLParser):
    """Counts tags that are open."""

    void = ("meta",)

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_from_outside(finished):
    page = finished.folder.report.read_text()
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert not re.search(r"(src|href)=|url\(|@import|<script", page)
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


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0.9, 1.1, [0.9, 0.95, 1, 1.05, 1.1]), (1, 20, [5, 10, 15, 20])],
)
def test_ticks_are_round(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_points_that_are_no_numbers_are_left_out():
    assert chart("t", [Curve("a", [1, 2], [float("nan"), float("inf")])]) == ""
    assert chart("t", [Curve("a", [1, 2, 3], [0.5, float("nan"), 0.7])]).count(",") == 2
    assert "<circle" in chart("t", [Curve("a", [1], [0.5])])


def test_columns_of_a_kind_are_drawn_by_the_rest_of_their_names():
    rows = [
        {"epoch": 1.0, "listen_weight_0": 0.3, "listen_weight_1": 0.7},
        {"epoch": 2.0, "listen_weight_0": 0.4},
    ]
    first, second = _named(rows, "listen_")
    assert (first.name, first.x, first.y) == ("weight_0", [1.0, 2.0], [0.3, 0.4])
    assert (second.name, second.y) == ("weight_1", [0.7])
    assert first.style != second.style
    assert _named(rows, "auxiliary_") == []


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
    assert score_head(summary_of(19)) == ("", "accuracy")
    assert score_head(summary_of(20)) == ("", "accuracy", "top-5 accuracy")
    rows = scores(summary_of(20))
    assert [row[1:] for row in rows] == [
        ("50.00%", "75.00%"),
        ("25.00%", "62.50%"),
        ("37.50% ± 17.68%", "68.75%"),
        ("25.00%", "62.50%"),
        ("55.00%", "80.00%"),
        ("50.00%", "75.00%"),
        ("45.00%", "70.00%"),
    ]
    assert scores(summary_of(19)) == [row[:2] for row in rows]
