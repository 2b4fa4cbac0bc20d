"""Plots of a run over its epochs: accuracies, losses, learning rate, and the figures of the method itself."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from studygroup.report.drawing import DASHES, INK, Plot, colour, figure_with_axes, legend, svg
from studygroup.training.history import Row


class Lines(NamedTuple):
    """Columns of a history that share a label and a style.

    Attributes:
        label: their label.
        points: epochs and values of each column.
        style: arguments of matplotlib's `plot`.
    """

    label: str
    points: Sequence[tuple[Sequence[float], Sequence[float]]]
    style: Mapping[str, Any]


def run_plots(rows: Sequence[Row], plain: Sequence[Row], students: int) -> list[Plot]:
    """Plot the history of a run.

    Args:
        rows: rows of its history, one per epoch.
        plain: rows of the baseline's history; may be empty.
        students: number of students that were trained.
    """
    several = students > 1

    def each(column: str) -> list[Lines]:
        names = [f"{column}_{student}" for student in range(students)]
        thin = {"linewidth": 0.9, "alpha": 0.55} if several else {}
        return _lines(rows, names, "each student" if several else "the network", color=colour(0), **thin)

    def baseline(column: str) -> list[Lines]:
        return _lines(plain, [column], "plain baseline", color=colour(1), linestyle=DASHES[1])

    rate = _lines(rows, ["lr"], "learning rate", color=colour(2))
    charts = [
        _plot("Supervised loss", [*each("supervised"), *baseline("supervised_0")]),
        _plot("Learning rate", rate),
        _plot("Further losses", _with_prefix(rows, "auxiliary_")),
        _plot("The imitation rule's own figures", _with_prefix(rows, "listen_")),
    ]
    accuracy = [*each("holdout"), *baseline("holdout_0")]
    if several:
        accuracy += _lines(rows, ["holdout_ensemble"], "ensemble", color=INK)
        distance, weight = "mean L2 distance of probabilities", "weight"
        charts[1:1] = [
            _plot("Imitation loss", each("imitation")),
            _plot("Diversity on the hold-out rows", _lines(rows, ["holdout_diversity"], distance)),
            _plot("Imitation weight", _lines(rows, ["imitation_weight"], weight, color=colour(2))),
        ]
    return [plot for plot in (_plot("Hold-out accuracy", accuracy, percent=True), *charts) if plot]


def _plot(title: str, groups: Sequence[Lines], *, percent: bool = False) -> Plot | None:
    """Plot groups of lines; None where there are none."""
    if not groups:
        return None
    scale, unit, said = 100 if percent else 1, " %" if percent else "", []
    with figure_with_axes(height=250) as (figure, (axes,)):
        for label, points, style in groups:
            for number, (x, y) in enumerate(points):
                name: dict[str, Any] = {"label": label} if number == 0 else {}
                marker = "o" if len(x) == 1 else ""
                axes.plot(x, [scale * value for value in y], marker=marker, **style, **name)
            ends = dict.fromkeys(f"{scale * end:.4g}" for end in sorted(y[-1] for _, y in points))
            said.append(f"{label}: {' to '.join([*ends][:: max(len(ends) - 1, 1)])}{unit} at the end")
        axes.set_xlabel("epoch")
        axes.set_ylabel(unit.strip())
        legend(figure)
        words = f"{title} over epochs. {'; '.join(said)}."
        return Plot(title, words, svg(figure, words))


def _lines(rows: Sequence[Row], columns: Sequence[str], label: str, **style: Any) -> list[Lines]:
    """Return columns as lines over the epochs with a finite value; none where there are no such epochs."""
    points = []
    for column in columns:
        pairs = [(row["epoch"], row[column]) for row in rows if math.isfinite(row.get(column, math.nan))]
        if pairs:
            points.append(([x for x, _ in pairs], [y for _, y in pairs]))
    return [Lines(label, points, {"color": colour(0), **style})] if points else []


def _with_prefix(rows: Sequence[Row], prefix: str) -> list[Lines]:
    """Return all columns with a prefix, each labelled by the rest of its name."""
    columns = dict.fromkeys(column for row in rows for column in row if column.startswith(prefix))
    return [
        lines
        for number, column in enumerate(columns)
        for lines in _lines(
            rows,
            [column],
            column.removeprefix(prefix),
            color=colour(number),
            linestyle=DASHES[number % len(DASHES)],
        )
    ]
