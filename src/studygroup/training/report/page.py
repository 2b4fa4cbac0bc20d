"""Puts curves, tables and facts of a run into one page without any outside resource."""

import itertools
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from studygroup.training.folder import RunFolder
from studygroup.training.history import Row, read_history
from studygroup.training.noise import noise_words
from studygroup.training.report.curves import Curve, chart
from studygroup.training.report.style import STYLE
from studygroup.training.ship import loading_lines
from studygroup.training.tables import costs, html, score_head, scores, verdict


def report(summary: Mapping[str, Any], folder: RunFolder) -> str:
    """The report of a run as HTML.

    Args:
        summary: of the run.
        folder: whose `metrics.csv` and, where there is one, the baseline's are drawn.
    """
    run, shipped = summary["run"], summary["shipped"]
    rows, plain = read_history(folder.metrics), read_history(folder.baseline.metrics)
    title = f"{run['recipe']} on {run['data']}"
    noise = noise_words(summary)
    said, lines = verdict(summary), loading_lines(folder.weights, builder=dict(run["model"]))
    options = ", ".join(f"{k}={v}" for k, v in run["model"].items() if k != "name")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{STYLE}</style></head><body>
<h1>{escape(title)}</h1>
<p>{run["students"]} student(s) of {escape(run["model"]["name"])} ({escape(options)}), {run["epochs"]} epochs,
{run["updates"]} updates, {run["train_rows"]} training rows, seed {run["seed"]}.
Student {shipped["student"]} after epoch {shipped["epoch"]} ships, chosen by select={shipped["select"]} on
{summary["holdout"]["rows"]} held-out rows ({shipped["holdout"]:.2%} there).</p>
{f'<p class="said">{escape(said)}</p>' if said else ""}
{f"<p>{escape(noise)}</p>" if noise else ""}
<h2>Test set, {summary["test"]["rows"]} rows, scored after the choice</h2>
{html(scores(summary), head=score_head(summary))}
<h2>Curves</h2><div class="charts">{charts(rows, plain, run["students"])}</div>
{_cost_section(summary)}
<h2>Load the shipped network</h2><pre>{escape(lines)}</pre>
<h2>Do it again</h2>
<pre>studygroup train --config {escape(str(folder.config))} --run_dir ANOTHER_FOLDER</pre>
<p>This run was started by <code>{escape(summary["command"])}</code>.</p>
{html(tuple(summary["versions"].items()), head=("made with", ""))}
</body></html>
"""


def _cost_section(summary: Mapping[str, Any]) -> str:
    """Cost beside the baseline's, where it was measured."""
    rows = costs(summary)
    if not rows:
        return ""
    note = (
        "Step times are medians of steps taken in turn. Memory: what the forward pass keeps for the backward pass on "
        "the CPU, the peak on CUDA. The shipped network costs what the baseline costs."
    )
    return (
        f"<h2>Cost of training</h2>{html(rows, head=('', summary['run']['recipe'], 'baseline'))}<p>{note}</p>"
    )


def charts(rows: Sequence[Row], plain: Sequence[Row], students: int) -> str:
    """All curves of a run, as HTML.

    Args:
        rows: of its history.
        plain: of the baseline's; may be empty.
        students: how many the run trained.
    """
    own = [f"{k}" for k in range(students)]
    drawn = [
        chart(
            "Hold-out accuracy",
            [
                *_each(rows, "holdout", own),
                *(_one(rows, "holdout_ensemble", "ensemble", "main") if students > 1 else []),
                *_one(plain, "holdout_0", "plain baseline", "second"),
            ],
            percent=True,
        ),
        chart(
            "Supervised loss",
            [*_each(rows, "supervised", own), *_one(plain, "supervised_0", "plain baseline", "second")],
        ),
        chart("Learning rate", _one(rows, "lr", "learning rate", "third")),
    ]
    if students > 1:
        drawn[2:2] = [
            chart("Imitation loss", _each(rows, "imitation", own)),
            chart(
                "Diversity on the hold-out rows", _one(rows, "holdout_diversity", "mean L2 of probabilities")
            ),
            chart("Imitation weight", _one(rows, "imitation_weight", "weight", "third")),
        ]
    drawn.append(chart("Further losses", _named(rows, "auxiliary_")))
    drawn.append(chart("The imitation rule's own figures", _named(rows, "listen_")))
    return "".join(drawn)


def _one(rows: Sequence[Row], column: str, name: str, style: str = "main") -> list[Curve]:
    """One column as a curve; none where no row has it."""
    points = [(row["epoch"], row[column]) for row in rows if column in row]
    return [Curve(name, [x for x, _ in points], [y for _, y in points], style)] if points else []


def _named(rows: Sequence[Row], prefix: str) -> list[Curve]:
    """All columns that begin so, each by the rest of its name."""
    columns = dict.fromkeys(column for row in rows for column in row if column.startswith(prefix))
    styles = itertools.cycle(("main", "second", "third", "student"))
    return [
        curve
        for column, style in zip(columns, styles, strict=False)
        for curve in _one(rows, column, column.removeprefix(prefix), style)
    ]


def _each(rows: Sequence[Row], prefix: str, students: Sequence[str]) -> list[Curve]:
    """A column of each student."""
    name = "each student" if len(students) > 1 else "the network"
    return [curve for k in students for curve in _one(rows, f"{prefix}_{k}", name, "student")]
