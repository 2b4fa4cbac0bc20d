import re
from html.parser import HTMLParser

import pytest

from studygroup.training.report.curves import Curve, chart, ticks
from studygroup.training.report.tables import verdict


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


@pytest.mark.parametrize(
    ("own", "said"), [(0.8, "beats the plain baseline by 10"), (0.7, "NOT"), (0.6, "NOT")]
)
def test_the_verdict_is_plain(own, said):
    summary = {
        "shipped": {"test": own},
        "baseline": {"test": 0.7},
        "test": {"rows": 100},
        "run": {"recipe": "cgl"},
    }
    assert said in verdict(summary)
    assert verdict(summary | {"baseline": None}) == ""
