"""The cost and the result of training: per configuration, and at equal time and equal updates."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reproduction.progress import Curve, at_equal, comparable_cells, mean_curve, of_one_clock
from reproduction.results import Found, mean_of
from reproduction.tables import Place
from reproduction.view import View, baseline_of
from studygroup.report.drawing import DASHES, MARKERS, MOST, Plot, colour, figure_with_axes, legend, svg


@dataclass(frozen=True)
class Costs:
    """The costs of one table.

    Attributes:
        head: header of the table of configurations; empty if there are none.
        rows: one a configuration: its cell, the table's number, mean test accuracy of the students and accuracy of
            their ensemble, seeds, updates, time of training (of the processor, or of the clock on a GPU), that over
            the baseline's, and parameters in training, where these were counted.
        plots: cost against accuracy, and curves over time and updates.
        equal: for cells to be compared, a description of what is equal, and rows of configuration, seeds, accuracy at
            equal time and at equal updates.
    """

    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    plots: Sequence[Plot] = ()
    equal: Sequence[tuple[str, Sequence[Sequence[str]]]] = ()


_HEAD = (
    *("configuration", "reached", "students, mean (%)", "ensemble (%)", "seeds", "updates", "time"),
    *("to the baseline", "parameters in training"),
)


def costs(view: View) -> Costs:
    """Return the costs of a table's runs, each configuration once."""
    places = _distinct(view)
    if not places:
        return Costs()
    rows, counted = [_row(view, place) for place in places], len(_HEAD)
    if not any(row[-1] for row in rows):
        counted -= 1
    curves = {
        name: _curves(group, places, view.found) for name, group in comparable_cells(view.table).items()
    }
    curves = {name: some for name, some in curves.items() if len(some) > 1}
    plots = [
        plot
        for name, some in curves.items()
        for plot in _curve_plots(f"{view.table.title}, {name}", name, some)
    ]
    return Costs(
        _HEAD[:counted],
        [row[:counted] for row in rows],
        [*_scatters(view, places), *plots],
        [_equal(name, some) for name, some in curves.items()],
    )


def hours(found: Sequence[Found]) -> float:
    """Return the hours of training of some configurations, each given once."""
    return sum(run.get("seconds") or 0.0 for some in found for run in some.runs.values()) / 3600


def duration(seconds: float) -> str:
    """Return seconds in words: `42 s`, `12.5 min`, `3.1 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _distinct(view: View) -> list[Place]:
    """Return cells with a cost, each configuration once: two rows may show two numbers of the same runs."""
    kept: dict[str, Place] = {}
    for place, some in view.found.items():
        if place in view.values and all("seconds" in run and "updates" in run for run in some.runs.values()):
            kept.setdefault(some.key, place)
    return list(kept.values())


def _row(view: View, place: Place) -> list[str]:
    cell, own = view.table.cells[place], view.found[place]
    plain = baseline_of(view.table, cell)
    other = None if plain is None else view.found.get(plain.place)
    seconds, usual = own.spent, None if other is None or other.clock != own.clock else other.spent
    shares = (mean_of(own, name) for name in ("students_mean", "ensemble"))
    runs = list(own.runs.values())
    sizes = [run["parameters"] for run in runs if run.get("parameters") is not None]
    return [
        cell.label,
        f"{statistics.fmean(view.values[place]):.{cell.measure.digits}f}",
        *("" if share is None else f"{100 * share:.2f}" for share in shares),
        str(len(runs)),
        f"{statistics.fmean(run['updates'] for run in runs):,.0f}",
        "" if seconds is None else duration(seconds),
        "" if seconds is None or usual is None else f"{seconds / usual:.2f} x",
        f"{sizes[0]:,}" if sizes else "",
    ]


def _curves(
    group: Mapping[str, Place], places: Sequence[Place], found: Mapping[Place, Found]
) -> dict[str, Curve]:
    curves = {name: mean_curve(found[place]) for name, place in group.items() if place in places}
    return {name: some for name, some in curves.items() if some is not None}


def _equal(row: str, curves: Mapping[str, Curve]) -> tuple[str, Sequence[Sequence[str]]]:
    """Return what each has reached when the first of them finishes."""
    seconds, in_time = at_equal(curves, "spent")
    updates, in_updates = at_equal(curves, "updates")
    after = [f"after {duration(seconds)}"] if in_time else []
    said = f"{row}: {', '.join([*after, f'after {updates:,.0f} updates'])}"
    return said, [
        [name, str(some.n), f"{in_time[name]:.2f}" if name in in_time else "", f"{in_updates[name]:.2f}"]
        for name, some in curves.items()
    ]


def _scatters(view: View, places: Sequence[Place]) -> list[Plot]:
    """Plot the table's number against training time, for each row that has several configurations."""
    plots = []
    for row in view.table.rows:
        own = {place: view.found[place] for place in places if place[0] == row}
        timed = {place: some.spent for place, some in own.items() if some.spent is not None}
        if 1 < len(timed) <= MOST and len({own[place].clock for place in timed}) == 1:
            plots.append(_scatter(view, row, timed))
    return plots


def _scatter(view: View, row: str, spent: Mapping[Place, float]) -> Plot:
    measure, said = view.table.cells[next(iter(spent))].measure, []
    with figure_with_axes() as (figure, (axes,)):
        for number, (place, seconds) in enumerate(spent.items()):
            minutes, reached = seconds / 60, statistics.fmean(view.values[place])
            axes.plot(minutes, reached, MARKERS[number], color=colour(number), markersize=8, label=place[1])
            said.append(f"{place[1]}: {reached:.4g} after {minutes:.3g} minutes")
        axes.set_xlim(left=0)
        axes.margins(0.12)
        axes.set_xlabel("minutes of training")
        axes.set_ylabel(f"{measure.name}, {measure.unit}")
        legend(figure)
        words = f"{view.table.title}, {row}: {measure.name} against training time. {'; '.join(said)}."
        return Plot(row, words, svg(figure, words), "Means over seeds.")


def _curve_plots(about: str, row: str, curves: Mapping[str, Curve]) -> list[Plot]:
    """Plot hold-out accuracy over training time, and over updates."""
    curves = dict(list(curves.items())[:MOST])
    timed = {name: some for name, some in curves.items() if some.spent} if of_one_clock(curves) else {}
    over_time = {name: ([s / 60 for s in some.spent], some.accuracy) for name, some in timed.items()}
    over_updates = {name: (some.updates, some.accuracy) for name, some in curves.items()}
    plots = [_over(about, row, over_time, "minutes of training")] if len(timed) > 1 else []
    return [*plots, _over(about, row, over_updates, "updates")]


def _over(
    about: str, row: str, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], name: str
) -> Plot:
    said = []
    with figure_with_axes() as (figure, (axes,)):
        for number, (label, (x, y)) in enumerate(curves.items()):
            axes.plot(x, y, color=colour(number), linestyle=DASHES[number % len(DASHES)], label=label)
            axes.plot(x[-1], y[-1], MARKERS[number % len(MARKERS)], color=colour(number))
            said.append(f"{label} ends at {y[-1]:.1f} after {x[-1]:.4g}")
        axes.set_xlim(left=0)
        axes.set_xlabel(name)
        axes.set_ylabel("hold-out accuracy, %")
        legend(figure)
        words = f"{about}: hold-out accuracy over {name}. {'; '.join(said)}."
        return Plot(row, words, svg(figure, words), "Mean of the students, mean over seeds.")
