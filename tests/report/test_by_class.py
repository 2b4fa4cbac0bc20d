import re

from helpers.summaries import summary
from studygroup.report import run_report
from studygroup.report.by_class import MOST_CLASSES, by_class
from studygroup.training.confusion import NO_CLASS, Confusion
from studygroup.training.folder import RunFolder

FEW = Confusion({(0, 0): 3, (0, 2): 1, (1, 1): 1, (1, NO_CLASS): 1, (2, 2): 1, (2, 0): 3})
PLAIN = Confusion({(0, 0): 2, (0, 1): 2, (1, 1): 1, (1, 0): 1, (2, 2): 2, (2, 0): 2})


def run_of(folder, own, plain=None, *, classes, names=None):
    """The folder of a run that kept these answers."""
    run = RunFolder(folder)
    made = summary(
        own=own.total_right / own.total,
        baseline=None if plain is None else plain.total_right / plain.total,
        classes=classes,
        rows=own.total,
    )
    facts = made.run.__class__(
        **{**vars(made.run), "classes": tuple(names or map("c{}".format, range(classes)))}
    )
    run.write_summary(made.__class__(**{**vars(made), "run": facts}))
    own.write(run.confusion)
    if plain is not None:
        plain.write(run.baseline.confusion)
    return run


def test_few_classes_are_shown_in_full(tmp_path):
    run = run_of(tmp_path, FEW, PLAIN, classes=3)
    found = by_class(run, run.read_summary())
    assert found.head == [
        "class", "rows", "the shipped student, right", "the plain network, right", "right where it is named",
    ]  # fmt: skip
    assert found.rows == [
        ["c0", "4", "75.0%", "50.0%", "50.0%"],
        ["c1", "2", "50.0%", "50.0%", "100.0%"],
        ["c2", "4", "25.0%", "50.0%", "50.0%"],
    ]
    own, plain = found.matrices
    assert (own.head, plain.head) == (["c0", "c1", "c2", "no class"], ["c0", "c1", "c2"])
    assert [[cell.rows for cell in cells] for _, cells in own.rows] == [
        [3, 0, 1, 0],
        [0, 1, 0, 1],
        [3, 0, 1, 0],
    ]
    assert [(cell.share, cell.kind) for cell in own.rows[0][1]] == [
        (0.75, "right"), (0, "none"), (0.25, "wrong"), (0, "none"),
    ]  # fmt: skip
    assert not found.mistakes


def test_of_many_classes_those_with_most_errors_are_shown(tmp_path):
    """Class k errs k times, always for class 0; the plain network is right on all."""
    classes = MOST_CLASSES + 1
    own = Confusion({(k, answer): max(k, 1) for k in range(classes) for answer in ({k, 0} if k else {0})})
    plain = Confusion({(k, k): own.rows[k] for k in range(classes)})
    run = run_of(tmp_path, own, plain, classes=classes)
    found = by_class(run, run.read_summary())
    assert not found.matrices
    assert [row[0] for row in found.rows] == [f"c{k}" for k in range(classes - 1, 0, -1)]
    assert found.rows[0][1:4] == ["40", "50.0%", "100.0%"]
    assert found.mistakes_head[-2:] == ["the shipped student", "the plain network"]
    assert list(found.mistakes[0]) == ["c20", "c0", "40", "20", "0"]
    assert len(found.mistakes) == MOST_CLASSES
    page = run_report(run).read_text(encoding="utf-8")
    assert "Of 21 classes the 20 on whose rows the shipped student errs most" in page


def test_a_class_without_rows_has_no_shares(tmp_path):
    run = run_of(tmp_path, Confusion({(0, 0): 2}), classes=2)
    found = by_class(run, run.read_summary())
    assert found.rows == [["c0", "2", "100.0%", "100.0%"], ["c1", "0", "", ""]]


def test_names_are_escaped_and_numbers_stand_in_the_page(tmp_path):
    names = ["<script>alert(1)</script>", 'a" onload="x', "ordinary"]
    page = run_report(run_of(tmp_path, FEW, classes=3, names=names)).read_text(encoding="utf-8")
    assert "<script" not in page
    assert 'onload="x' not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 5  # twice in each header, once in the table
    rows = re.findall(r'<td class="(right|wrong)" style="--part:([\d.]+)">(\d+)</td>', page)
    assert rows == [
        ("right", "0.750", "3"), ("wrong", "0.250", "1"), ("right", "0.500", "1"), ("wrong", "0.500", "1"),
        ("wrong", "0.750", "3"), ("right", "0.250", "1"),
    ]  # fmt: skip


def test_a_run_that_did_not_keep_them_says_so(tmp_path):
    run = run_of(tmp_path, FEW, PLAIN, classes=3)
    run.baseline.confusion.unlink()
    assert [one.title for one in by_class(run, run.read_summary()).matrices] == ["the shipped student"]
    run.confusion.unlink()
    assert by_class(run, run.read_summary()) is None
    assert "is not recorded in this run" in run_report(run).read_text(encoding="utf-8")
