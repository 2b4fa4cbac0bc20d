"""Tables of a run, the same rows for its report and for the terminal, and rows as text and Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from studygroup.training.scores import TOP5_FROM

Rows = Sequence[tuple[str, ...]]


def scores(summary: Mapping[str, Any]) -> Rows:
    """What was scored on the test rows: each student, the ensemble, the shipped one, the baseline.

    Returns:
        Name, accuracy in percent and, where there are many classes, top-5 accuracy; see `score_head`.
    """
    test, shipped, run = summary["test"], summary["shipped"], summary["run"]
    students, top5 = test["students"], test["students_top5"]
    rows = [(f"student {k}", f"{students[k]:.2%}", top5[k]) for k in range(len(students))]
    if run["students"] > 1:
        one = test["random"]["student"]
        rows += [
            (
                f"mean ± std of {run['students']} students",
                f"{test['mean']:.2%} ± {test['std']:.2%}",
                test["mean_top5"],
            ),
            (f"a random student ({one})", f"{test['random']['accuracy']:.2%}", top5[one]),
            (
                "ensemble of all students (mean of probabilities)",
                f"{test['ensemble']:.2%}",
                test["ensemble_top5"],
            ),
        ]
    anew = ", batch norm re-estimated" if shipped["reestimated_bn"] else ""
    rows.append(
        (f"shipped: student {shipped['student']}{anew}", f"{shipped['test']:.2%}", shipped["test_top5"])
    )
    if summary["baseline"]:
        plain = summary["baseline"]
        rows.append(("plain baseline", f"{plain['test']:.2%}", plain["test_top5"]))
    return [(name, value, f"{five:.2%}")[: len(score_head(summary))] for name, value, five in rows]


def score_head(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """The head of `scores`; top-5 accuracy is told from 20 classes on."""
    return ("", "accuracy", "top-5 accuracy")[: 3 if len(summary["run"]["classes"]) >= TOP5_FROM else 2]


def costs(summary: Mapping[str, Any]) -> Rows:
    """What training cost beside the baseline.

    Returns:
        Triples of what, the method's and the baseline's; empty where nothing was measured.
    """
    cost, baseline, run = summary["cost"], summary["baseline"], summary["run"]
    if not cost or not baseline:
        return []
    low, high = cost["spread"]
    rows = "texts" if run.get("texts") else "images"
    return [
        ("epochs", str(run["epochs"]), str(run["epochs"])),
        ("updates", str(run["updates"]), str(baseline["updates"])),
        ("training time", f"{run['training_seconds']:.1f} s", f"{baseline['training_seconds']:.1f} s"),
        (
            f"step on the same {cost['images']} {rows}",
            f"{1e3 * cost['seconds']:.0f} ms, {cost['ratio']:.2f} x ({low:.2f} to {high:.2f}, n = {cost['repeats']})",
            f"{1e3 * cost['baseline_seconds']:.0f} ms",
        ),
        ("memory of that step", _megabytes(cost["bytes"]), _megabytes(cost["baseline_bytes"])),
        ("parameters in training", f"{cost['parameters']:,}", f"{cost['baseline_parameters']:,}"),
        ("parameters shipped", f"{cost['baseline_parameters']:,}", f"{cost['baseline_parameters']:,}"),
    ]


def verdict(summary: Mapping[str, Any]) -> str:
    """One plain sentence: did the method beat the baseline, and how much does one run say."""
    if not summary["baseline"]:
        return ""
    own, plain = summary["shipped"]["test"], summary["baseline"]["test"]
    rows, recipe = summary["test"]["rows"], summary["run"]["recipe"]
    difference = round((own - plain) * rows)
    if difference > 0:
        said = f"{recipe}'s shipped student beats the plain baseline by {difference} of {rows} test rows"
    elif difference < 0:
        said = f"{recipe}'s shipped student does NOT beat the plain baseline: {-difference} of {rows} test rows fewer"
    else:
        said = f"{recipe}'s shipped student does NOT beat the plain baseline: both have the same score"
    return f"{said} ({own:.2%} against {plain:.2%}; one seed, so a few rows are noise)."


def markdown(rows: Rows, *, head: Sequence[str]) -> str:
    """Return rows as a Markdown table, without a line break at the end."""
    lines = (f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in (head, *rows))
    first, *others = lines
    return "\n".join([first, "|---" * len(head) + "|", *others])


def text(rows: Rows) -> str:
    """Return rows in columns for a terminal."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = (
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _megabytes(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"
