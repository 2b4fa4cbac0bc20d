"""Tables of a run, with the same rows for its report and the terminal, and their rendering as text and Markdown."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from studygroup.training.scores import TOP5_FROM

Rows = Sequence[tuple[str, ...]]


def scores(summary: Mapping[str, Any]) -> Rows:
    """Return the scores on the test rows: each student, the ensemble, the shipped student, the baseline.

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
    """Return the header of `scores`; top-5 accuracy is reported from 20 classes on."""
    return ("", "accuracy", "top-5 accuracy")[: 3 if len(summary["run"]["classes"]) >= TOP5_FROM else 2]


def costs(summary: Mapping[str, Any]) -> Rows:
    """Return the cost of training beside the baseline's.

    Returns:
        Triples of quantity, the method's value and the baseline's; empty where nothing was measured.
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
    """Say in plain words whether the shipped student or the plain network is ahead, and how much one run can show.

    Chance: where two equally good networks err independently of each other, the number of test rows by which one
    is ahead has the standard deviation √(N (p₁ (1 − p₁) + p₂ (1 − p₂))); 1.96 times that is stated. Networks that err
    on the same rows differ by less.

    Args:
        summary: the run's summary.

    Returns:
        Two sentences; an empty text where no plain network was trained beside the method.
    """
    if not summary["baseline"]:
        return ""
    own, plain = summary["shipped"]["test"], summary["baseline"]["test"]
    rows = summary["test"]["rows"]
    ahead = round((own - plain) * rows)
    chance = round(1.96 * math.sqrt(rows * (own * (1 - own) + plain * (1 - plain))))
    more = (
        f"{abs(ahead)} test rows {'more' if ahead > 0 else 'fewer'} than" if ahead else "as many test rows as"
    )
    told = "more than that" if abs(ahead) > chance else "no more than that"
    return (
        f"The shipped student is right on {more} the plain network trained beside it, of {rows} ({own:.2%} against "
        f"{plain:.2%}). By chance alone one of two equally good networks may be ahead by about {chance} of these "
        f"rows; this run shows {told}, and another seed may end otherwise."
    )


def short(summary: Mapping[str, Any]) -> Rows:
    """Return the most important accuracies on the test rows, the plain network's last."""
    test, run = summary["test"], summary["run"]
    rows = [("the student that ships", f"{summary['shipped']['test']:.2%}")]
    if run["students"] > 1:
        rows += [
            (f"mean of the {run['students']} students", f"{test['mean']:.2%}"),
            (f"the {run['students']} students as an ensemble", f"{test['ensemble']:.2%}"),
        ]
    if summary["baseline"]:
        rows.append(
            ("the plain network beside: same rows, same epochs", f"{summary['baseline']['test']:.2%}")
        )
    return rows


def markdown(rows: Rows, *, head: Sequence[str]) -> str:
    """Return rows as a Markdown table, without a line break at the end."""
    lines = (f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in (head, *rows))
    first, *others = lines
    return "\n".join([first, "|---" * len(head) + "|", *others])


def text(rows: Rows) -> str:
    """Return rows in aligned columns for a terminal."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = (
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _megabytes(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"
