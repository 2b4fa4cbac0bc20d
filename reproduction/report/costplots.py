"""Plots of cost: what was reached against training time, and curves over time and over updates."""

import statistics
from collections.abc import Mapping, Sequence

from reproduction.progress import Line
from reproduction.results import Found, mean_of
from reproduction.tables import Place, Table
from studygroup.report.drawing import DASHES, MARKERS, MOST, Plot, colour, drawn, legend, svg


def cost_plot(
    table: Table,
    places: Sequence[Place],
    found: Mapping[Place, Found],
    values: Mapping[Place, Sequence[float]],
) -> list[Plot]:
    """The table's number against training time, one plot for each row that has several configurations.

    Args:
        table: any.
        places: one a configuration.
        found: finished runs.
        values: one number a seed of each cell that has runs.
    """
    drawn_rows = []
    for row in table.rows:
        spent = {place: mean_of(found[place], "spent") for place in places if place[0] == row}
        timed = {place: seconds for place, seconds in spent.items() if seconds is not None}
        if 1 < len(timed) <= MOST:
            drawn_rows.append(_scatter(table, row, timed, values))
    return drawn_rows


def _scatter(
    table: Table,
    row: str,
    spent: Mapping[Place, float],
    values: Mapping[Place, Sequence[float]],
) -> Plot:
    measure, said = table.cells[next(iter(spent))].measure, []
    with drawn() as (figure, (axes,)):
        for number, (place, seconds) in enumerate(spent.items()):
            minutes = seconds / 60
            reached = statistics.fmean(values[place])
            axes.plot(minutes, reached, MARKERS[number], color=colour(number), markersize=8, label=place[1])
            said.append(f"{place[1]}: {reached:.4g} after {minutes:.3g} minutes")
        axes.set_xlim(left=0)
        axes.margins(0.12)
        axes.set_xlabel("minutes of training")
        axes.set_ylabel(f"{measure.name}, {measure.unit}")
        legend(figure)
        words = f"{table.title}, {row}: {measure.name} against training time. {'; '.join(said)}."
        return Plot(row, words, svg(figure, words), "Means over seeds.")


def curve_plots(about: str, row: str, lines: Mapping[str, Line]) -> list[Plot]:
    """Hold-out accuracy over training time, and over updates.

    Args:
        about: what the plots belong to, for their text alternatives.
        row: their title.
        lines: by name of the configuration.
    """
    lines = dict(list(lines.items())[:MOST])
    timed = {name: some for name, some in lines.items() if some.spent}
    over_time = {name: ([s / 60 for s in some.spent], some.accuracy) for name, some in timed.items()}
    over_updates = {name: (some.updates, some.accuracy) for name, some in lines.items()}
    plots = [_over(about, row, over_time, "minutes of training")] if len(timed) > 1 else []
    return [*plots, _over(about, row, over_updates, "updates")]


def _over(
    about: str, row: str, lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], name: str
) -> Plot:
    said = []
    with drawn() as (figure, (axes,)):
        for number, (label, (x, y)) in enumerate(lines.items()):
            axes.plot(x, y, color=colour(number), linestyle=DASHES[number % len(DASHES)], label=label)
            axes.plot(x[-1], y[-1], MARKERS[number % len(MARKERS)], color=colour(number))
            said.append(f"{label} ends at {y[-1]:.1f} after {x[-1]:.4g}")
        axes.set_xlim(left=0)
        axes.set_xlabel(name)
        axes.set_ylabel("hold-out accuracy, %")
        legend(figure)
        words = f"{about}: hold-out accuracy over {name}. {'; '.join(said)}."
        return Plot(row, words, svg(figure, words), "Mean of the students, mean over seeds.")
