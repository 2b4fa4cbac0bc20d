"""Accuracy of a run's shipped student class by class, and the classes that it confuses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from studygroup.training.confusion import NO_CLASS, Confusion, read_confusion
from studygroup.training.folder import RunFolder
from studygroup.training.summary import Summary

MOST_CLASSES = 20
"""Number of classes up to which all are shown, and of lines that are shown of more."""


class Cell(NamedTuple):
    """A cell of a confusion matrix.

    Attributes:
        rows: number of rows.
        share: that of the rows of their class, in [0, 1].
        kind: `right`, `wrong` or `none`.
    """

    rows: int
    share: float
    kind: str


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix.

    Attributes:
        title: whose answers these are.
        head: the classes that may be named.
        rows: each class with its cells.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]


@dataclass(frozen=True)
class ByClass:
    """Answers on the test rows by class.

    Attributes:
        head: header of the table of classes.
        rows: one row per class.
        caption: which classes these are.
        matrices: of the shipped student and of the plain network beside it; empty where there are many classes.
        mistakes: of many classes those most often taken for each other: class, answer, and how often.
        mistakes_head: header of the mistakes.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    matrices: Sequence[Matrix] = ()
    mistakes: Sequence[Sequence[str]] = ()
    mistakes_head: Sequence[str] = ()


def by_class(folder: RunFolder, summary: Summary) -> ByClass | None:
    """Read the answers of a run's shipped student, and of the plain network beside it.

    Returns:
        None where the run did not keep them.

    Raises:
        ValueError: a file is damaged.
    """
    names = summary.run.classes
    kept = {"the shipped student": _read(folder, summary, summary.shipped.test)}
    if summary.baseline is not None:
        kept["the plain network"] = _read(folder.baseline, summary, summary.baseline.test)
    found = {who: one for who, one in kept.items() if one is not None}
    if "the shipped student" not in found:
        return None
    own, *_ = found.values()
    head = ["class", "rows", *(f"{who}, right" for who in found), "right where it is named"]
    if len(names) <= MOST_CLASSES:
        shown = range(len(names))
        matrices = [_matrix(who, one, names) for who, one in found.items()]
        return ByClass(head, _lines(found, names, shown), _CAPTION, matrices)
    worst = sorted(own.rows, key=lambda label: (-own.errors(label), label))[:MOST_CLASSES]
    caption = (
        f"Of {len(names)} classes the {len(worst)} on whose rows the shipped student errs most. {_CAPTION}"
    )
    return ByClass(
        head,
        _lines(found, names, worst),
        caption,
        mistakes=[
            [_named(names, label), _named(names, answer), str(own.rows[label])]
            + [str(one.counts.get((label, answer), 0)) for one in found.values()]
            for label, answer in own.mistaken()[:MOST_CLASSES]
        ],
        mistakes_head=["class", "named instead", "rows of the class", *found],
    )


_CAPTION = (
    "Shares of the test rows of a class that were named right; and of the rows on which the shipped student named "
    "the class, how many are of it."
)


def _read(folder: RunFolder, summary: Summary, right: float) -> Confusion | None:
    classes, rows = len(summary.run.classes), summary.test.rows
    return read_confusion(folder.confusion, classes=classes, rows=rows, right=right)


def _named(names: Sequence[str], answer: int) -> str:
    return "no class" if answer == NO_CLASS else names[answer]


def _lines(found: Mapping[str, Confusion], names: Sequence[str], shown: Sequence[int]) -> list[list[str]]:
    own, *_ = found.values()
    return [
        [
            names[k],
            str(own.rows.get(k, 0)),
            *(_share(one.right(k), one.rows.get(k, 0)) for one in found.values()),
            _share(own.right(k), own.answers.get(k, 0)),
        ]
        for k in shown
    ]


def _share(count: int, of: int) -> str:
    """Return a share in percent; empty where it is one of nothing."""
    return f"{count / of:.1%}" if of else ""


def _matrix(who: str, found: Confusion, names: Sequence[str]) -> Matrix:
    answers = [*range(len(names)), *([NO_CLASS] if found.answers.get(NO_CLASS) else [])]

    def cell(label: int, answer: int) -> Cell:
        count = found.counts.get((label, answer), 0)
        kind = "none" if not count else "right" if label == answer else "wrong"
        return Cell(count, count / found.rows[label] if count else 0.0, kind)

    rows = [(name, [cell(label, answer) for answer in answers]) for label, name in enumerate(names)]
    return Matrix(who, [_named(names, answer) for answer in answers], rows)
