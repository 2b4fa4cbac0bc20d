"""Folders that `studygroup compare` wrote: a table with marks, and the configurations' curves."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studygroup.report.drawing import DASHES, MARKERS, Plot, colour, figure_with_axes, legend, svg
from studygroup.report.marks import Mark, compared
from studygroup.training.comparison import COLUMNS, cells, percent, read_rows
from studygroup.training.folder import RunFolder
from studygroup.training.history import EpochRow, read_history
from studygroup.training.scores import TOP5_FROM


@dataclass(frozen=True)
class Comparison:
    """The contents of a comparison's folder.

    Attributes:
        name: name of the folder.
        head: header of the table.
        rows: one row per configuration: its name, accuracies with deviations, updates and cost.
        marks: mark of the shipped student's test accuracy, one per row.
        baseline: name of the configuration that marks refer to; empty where none is a plain network.
        plots: hold-out accuracy over epochs.
    """

    name: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    marks: Sequence[Mark]
    baseline: str
    plots: Sequence[Plot]


def comparison(folder: Path) -> Comparison:
    """Read one folder.

    Args:
        folder: holds `comparison.json` and, beside it, the runs.

    Raises:
        ValueError: the file is damaged.
    """
    rows = read_rows(folder)
    runs = cells(folder, rows)
    summaries = {
        name: [run.read_summary() for run in some if run.summary.exists()] for name, some in runs.items()
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
        plots=_curves(runs),
    )  # fmt: skip


def _curves(runs: Mapping[str, Sequence[RunFolder]]) -> list[Plot]:
    """Plot the hold-out accuracy of all configurations, means over seeds."""
    histories = {
        name: [read_history(run.metrics) for run in some if run.metrics.exists()]
        for name, some in runs.items()
    }
    histories = {name: some for name, some in histories.items() if some}
    if not histories:
        return []
    said = []
    with figure_with_axes() as (figure, (axes,)):
        for number, (name, some) in enumerate(histories.items()):
            epochs, means = _mean(some)
            style: dict[str, Any] = {
                "color": colour(number),
                "linestyle": DASHES[number % len(DASHES)],
                "label": name,
            }
            axes.plot(epochs, means, marker=MARKERS[number % len(MARKERS)], markevery=[-1], **style)
            said.append(f"{name} ends at {means[-1]:.1f}")
        axes.set_xlabel("epoch")
        axes.set_ylabel("hold-out accuracy, %")
        legend(figure)
        words = f"Hold-out accuracy over epochs. {'; '.join(said)}."
        return [
            Plot("Hold-out accuracy", words, svg(figure, words), "Mean of the students, mean over seeds.")
        ]


def _mean(histories: Sequence[Sequence[EpochRow]]) -> tuple[list[float], list[float]]:
    """Return epochs and mean hold-out accuracy in percent, up to the last epoch that all runs have."""
    epochs = [float(row.epoch) for row in min(histories, key=len)]
    by_epoch = zip(*histories, strict=False)
    return epochs, [100 * statistics.fmean(row.holdout_mean for row in rows) for rows in by_epoch]
