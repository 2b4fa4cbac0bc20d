"""Folders that `studygroup compare` wrote: a table with marks, and the configurations' curves."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studygroup.analysis.intervals import CONFIDENCE, FEWEST, half_width
from studygroup.report.axes import Axis, View, over_each
from studygroup.report.drawing import DASHES, MARKERS, MOST, Plot, colour, figure_with_axes, legend, svg
from studygroup.report.marks import Mark, compared
from studygroup.training.comparison import COLUMNS, cells, percent, read_rows
from studygroup.training.history import EpochRow, read_history
from studygroup.training.scores import TOP5_FROM
from studygroup.training.summary import Summary


@dataclass(frozen=True)
class Comparison:
    """The contents of a comparison's folder.

    Attributes:
        name: name of the folder.
        head: header of the table.
        rows: one row per configuration: its name, accuracies with deviations, updates and cost.
        marks: mark of the shipped student's test accuracy, one per row.
        baseline: name of the configuration that marks refer to; empty where none is a plain network.
        views: hold-out accuracy over each axis that was recorded, epochs first.
        costs: test error against the cost of training.
    """

    name: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    marks: Sequence[Mark]
    baseline: str
    views: Sequence[View]
    costs: Sequence[Plot]


def comparison(folder: Path) -> Comparison:
    """Read one folder: `comparison.json` and, beside it, the runs.

    Raises:
        ValueError: the file is damaged.
    """
    rows = read_rows(folder)
    runs = cells(folder, rows)
    summaries = {
        name: [run.read_summary() for run in some if run.summary.exists()] for name, some in runs.items()
    }
    histories = {
        name: some
        for name, folders in runs.items()
        if (some := [rows for rows in (read_history(run.metrics) for run in folders) if rows])
    }
    tests = {name: [one.shipped.test for one in some] for name, some in summaries.items()}
    plain = next((name for name, some in summaries.items() if some and some[0].run.recipe == "baseline"), "")
    shown = {key: words for key, words in COLUMNS.items() if all(key in row for row in rows)}
    if not any(row.get("classes", 0) >= TOP5_FROM for row in rows):
        shown.pop("top5", None)
    return Comparison(
        name=folder.resolve().name,
        head=["configuration", *shown.values(), "n", "updates", "step cost"],
        rows=[
            [row["name"], *(percent(row, key) for key in shown), str(row["n"]), f"{row['updates']:,}",
             f"{row['step_cost']:.2f} x"]
            for row in rows
        ],
        marks=[
            Mark.NONE if row["name"] == plain else compared(tests[row["name"]], tests.get(plain, ())) for row in rows
        ],
        baseline=plain,
        views=over_each(
            [rows for some in histories.values() for rows in some], lambda axis: _curves(histories, axis)
        ),
        costs=_cost(rows, summaries),
    )  # fmt: skip


def _curves(histories: Mapping[str, Sequence[Sequence[EpochRow]]], axis: Axis) -> list[Plot]:
    """Plot the hold-out accuracy of all configurations over an axis, means over seeds."""
    if not histories:
        return []
    said = []
    with figure_with_axes() as (figure, (axes,)):
        for number, (name, some) in enumerate(histories.items()):
            places, means = _mean(some, axis)
            axes.plot(
                places, means, markevery=[-1], linestyle=DASHES[number % len(DASHES)], **_point(number, name)
            )
            said.append(f"{name} ends at {means[-1]:.1f}")
        axes.set_xlabel(axis.label)
        axes.set_ylabel("hold-out accuracy, %")
        legend(figure)
        words = f"Hold-out accuracy over {axis.words}. {'; '.join(said)}."
        return [
            Plot("Hold-out accuracy", words, svg(figure, words), "Mean of the students, mean over seeds.")
        ]


def _mean(histories: Sequence[Sequence[EpochRow]], axis: Axis) -> tuple[list[float], list[float]]:
    """Return mean places and mean hold-out accuracy in percent, up to the last epoch that all runs have."""
    places = zip(*(axis.at(rows) for rows in histories), strict=False)
    by_epoch = zip(*histories, strict=False)
    return (
        [statistics.fmean(some) for some in places],
        [100 * statistics.fmean(row.holdout_mean for row in rows) for rows in by_epoch],
    )


def _point(number: int, name: str) -> dict[str, Any]:
    """Return marker, colour and label of a configuration; 64 differ."""
    marker = MARKERS[(number + number // MOST) % MOST]
    return {"marker": marker, "color": colour(number), "label": name}


def _cost(rows: Sequence[Mapping[str, Any]], summaries: Mapping[str, Sequence[Summary]]) -> list[Plot]:
    """Plot test error against the seconds of training, or where these are not known, updates times step cost."""
    shown = [row for row in rows if summaries[row["name"]]]
    if len(shown) < 2:
        return []
    seconds = {name: [one.run.training_seconds for one in some] for name, some in summaries.items()}
    timed = all(second > 0 for row in shown for second in seconds[row["name"]])
    said, unit = [], "seconds of training" if timed else "updates x step cost"
    with figure_with_axes() as (figure, (axes,)):
        for number, row in enumerate(shown):
            name = row["name"]
            errors = [100 * (1 - one.shipped.test) for one in summaries[name]]
            cost = statistics.fmean(seconds[name]) if timed else row["updates"] * row["step_cost"]
            error, reach = statistics.fmean(errors), half_width(errors)
            axes.errorbar(
                cost,
                error,
                yerr=reach or None,
                linestyle="none",
                markersize=8,
                capsize=3,
                **_point(number, name),
            )
            said.append(f"{name}: {error:.2f}" + (f" ± {reach:.2f}" if reach else "") + f" at {cost:.4g}")
        axes.margins(0.12)
        axes.set_xlim(left=0)
        axes.set_xlabel(unit)
        axes.set_ylabel("test error, %")
        legend(figure)
        words = f"Test error of the shipped student against {unit}. {'; '.join(said)}."
        bars = f"bars: {CONFIDENCE:.0%} interval of the mean, from {FEWEST} seeds on"
        note = f"Means over seeds, {bars}. Lower and further left is better."
        note += " Seconds of runs that shared a machine are not comparable." if timed else ""
        return [Plot("Test error against cost", words, svg(figure, words), note)]
