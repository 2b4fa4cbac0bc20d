"""Plots of a run over its epochs: accuracies, losses, learning rate, and what the method says of itself."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from studygroup.report.drawing import DASHES, INK, SOFT, Plot, colour, drawn, legend, svg
from studygroup.training.history import Row

Line = tuple[Sequence[float], Sequence[float], Mapping[str, Any]]
"""Epochs, values and how they are drawn."""


def run_plots(rows: Sequence[Row], plain: Sequence[Row], students: int) -> list[Plot]:
    """Plot the history of a run.

    Args:
        rows: of its history, one an epoch.
        plain: of the baseline's; may be empty.
        students: number of students that were trained.
    """
    several = students > 1

    def each(column: str) -> list[Line]:
        style = {"color": colour(0), "linewidth": 0.9, "alpha": 0.55} if several else {"color": colour(0)}
        names = [f"{column}_{student}" for student in range(students)]
        lines = [line for name in names for line in _line(rows, name, **style)]
        label = "each student" if several else "the network"
        return [(x, y, {**drawn_as, "label": label}) for x, y, drawn_as in lines[:1]] + lines[1:]

    def baseline(column: str) -> list[Line]:
        return _line(plain, column, label="plain baseline", color=colour(1), linestyle=DASHES[1])

    ensemble = _line(rows, "holdout_ensemble", label="ensemble", color=INK) if several else []
    rate = _line(rows, "lr", label="learning rate", color=colour(2))
    charts = {
        ("Hold-out accuracy", "%"): [*each("holdout"), *ensemble, *baseline("holdout_0")],
        ("Supervised loss", ""): [*each("supervised"), *baseline("supervised_0")],
        ("Imitation loss", ""): each("imitation") if several else [],
        ("Diversity on the hold-out rows", ""): _line(
            rows, "holdout_diversity", label="mean L2 distance of probabilities", color=colour(0)
        ),
        ("Imitation weight", ""): _line(rows, "imitation_weight", label="weight", color=colour(2)),
        ("Learning rate", ""): rate,
        ("Further losses", ""): _with_prefix(rows, "auxiliary_"),
        ("The imitation rule's own figures", ""): _with_prefix(rows, "listen_"),
    }
    if not several:
        charts = {key: lines for key, lines in charts.items() if key[0] not in _OF_SEVERAL}
    return [_plot(title, unit, lines) for (title, unit), lines in charts.items() if lines]


_OF_SEVERAL = ("Diversity on the hold-out rows", "Imitation weight")


def _plot(title: str, unit: str, lines: Sequence[Line]) -> Plot:
    scale = 100 if unit else 1
    with drawn(height=250) as (figure, (axes,)):
        for x, y, style in lines:
            axes.plot(x, [scale * value for value in y], **{"marker": "o" if len(x) == 1 else "", **style})
        axes.set_xlabel("epoch")
        axes.set_ylabel(unit, color=SOFT)
        legend(figure)
        said = [
            f"{style['label']} ends at {scale * y[-1]:.4g}{unit and f' {unit}'}"
            for _, y, style in lines
            if "label" in style
        ]
        words = f"{title} over epochs. {'; '.join(said)}."
        return Plot(title, words, svg(figure, words))


def _line(rows: Sequence[Row], column: str, **style: Any) -> list[Line]:
    """Return a column as a line, of the epochs that have a finite value; none where no epoch has."""
    points = [(row["epoch"], row[column]) for row in rows if column in row and math.isfinite(row[column])]
    return [([x for x, _ in points], [y for _, y in points], style)] if points else []


def _with_prefix(rows: Sequence[Row], prefix: str) -> list[Line]:
    """Return all columns that begin so, each labelled by the rest of its name."""
    columns = dict.fromkeys(column for row in rows for column in row if column.startswith(prefix))
    return [
        line
        for number, column in enumerate(columns)
        for line in _line(
            rows,
            column,
            label=column.removeprefix(prefix),
            color=colour(number),
            linestyle=DASHES[number % len(DASHES)],
        )
    ]
