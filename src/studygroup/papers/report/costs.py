"""What training cost beside what it reached: per configuration, and at equal time and equal updates."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from studygroup.papers.progress import Line, at_equal, line
from studygroup.papers.report.costplots import cost_plot, curve_plots
from studygroup.papers.report.drawing import Plot
from studygroup.papers.report.marks import baseline_of
from studygroup.papers.results import Found
from studygroup.papers.tables import Figures, Place, Table

Values = Mapping[Place, Sequence[float]]


@dataclass(frozen=True)
class Cost:
    """One configuration.

    Attributes:
        label: of its cell.
        reached: mean of the table's number.
        n: seeds.
        updates: of the weights.
        seconds: of training, mean over seeds.
        time: those in words.
        ratio: of the seconds to the baseline's; empty where there is none.
        parameters: in training; empty where they were not counted.
        load: mean load of the machine at the end of the runs; empty where it is not known.
    """

    label: str
    reached: str
    n: int
    updates: str
    seconds: float
    time: str
    ratio: str
    parameters: str
    load: str


@dataclass(frozen=True)
class Equal:
    """Hold-out accuracy of configurations beside one another at equal time and at equal updates.

    Attributes:
        label: of the configuration.
        time: accuracy at equal time.
        updates: accuracy at equal updates.
    """

    label: str
    time: str
    updates: str


@dataclass(frozen=True)
class Costs:
    """Of one table.

    Attributes:
        rows: one a configuration.
        plots: cost beside accuracy, and curves over time and updates.
        equal: of cells beside one another: what is equal, and the accuracies there.
    """

    rows: Sequence[Cost] = ()
    plots: Sequence[Plot] = ()
    equal: Sequence[tuple[str, Sequence[Equal]]] = ()

    @property
    def parameters(self) -> bool:
        """Whether they were counted for any."""
        return any(row.parameters for row in self.rows)


def costs(table: Table, found: Mapping[Place, Found], values: Values) -> Costs:
    """The costs of a table's runs, each configuration once.

    Args:
        table: any.
        found: its finished runs.
        values: one number a seed of each cell that has runs.
    """
    places = _once(found, values)
    if not places:
        return Costs()
    rows = [_cost(table, place, found, values) for place in places]
    lines = {name: _curves(group, places, found) for name, group in _beside(table).items()}
    lines = {name: some for name, some in lines.items() if len(some) > 1}
    equal = [_equal(name, some) for name, some in lines.items()]
    drawn = [
        plot for name, some in lines.items() for plot in curve_plots(f"{table.title}, {name}", name, some)
    ]
    return Costs(rows, [*cost_plot(table, places, found, values), *drawn], equal)


def hours(found: Sequence[Found]) -> float:
    """Hours of training of some configurations.

    Args:
        found: each configuration once.
    """
    return sum(run.get("seconds") or 0.0 for some in found for run in some.runs.values()) / 3600


def _once(found: Mapping[Place, Found], values: Values) -> list[Place]:
    """Cells of different configurations, those with a cost: two rows may show two numbers of the same runs."""
    kept: dict[str, Place] = {}
    for place, some in found.items():
        if place in values and all("seconds" in run and "updates" in run for run in some.runs.values()):
            kept.setdefault(json.dumps(some.settings, sort_keys=True), place)
    return list(kept.values())


def _cost(table: Table, place: Place, found: Mapping[Place, Found], values: Values) -> Cost:
    cell, runs = table.cells[place], list(found[place].runs.values())
    plain = baseline_of(table, cell)
    seconds = mean(runs, lambda run: run["seconds"])
    ratio = ""
    if plain is not None and plain.place in found:
        ratio = f"{seconds / mean(list(found[plain.place].runs.values()), lambda run: run['seconds']):.2f} x"
    loads = [run["load"] for run in runs if run.get("load") is not None]
    sizes = [run["parameters"] for run in runs if run.get("parameters") is not None]
    return Cost(
        label=cell.label,
        reached=f"{statistics.fmean(values[place]):.{cell.measure.digits}f}",
        n=len(runs),
        updates=f"{mean(runs, lambda run: run['updates']):,.0f}",
        seconds=seconds,
        time=duration(seconds),
        ratio=ratio,
        parameters=f"{sizes[0]:,}" if sizes else "",
        load=f"{statistics.fmean(loads):.1f}" if loads else "",
    )


def mean(runs: Sequence[Figures], of: Callable[[Figures], float]) -> float:
    """Mean of a figure over runs."""
    return statistics.fmean(of(run) for run in runs)


def duration(seconds: float) -> str:
    """Seconds in words: `42 s`, `12.5 min`, `3.1 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _beside(table: Table) -> dict[str, dict[str, Place]]:
    """Cells to be held beside one another: those of a row, or, in a table of one column, all."""
    if len(table.columns) == 1:
        return {column: {row: (row, column) for row in table.rows} for column in table.columns}
    return {row: {column: (row, column) for column in table.columns} for row in table.rows}


def _curves(
    group: Mapping[str, Place], places: Sequence[Place], found: Mapping[Place, Found]
) -> dict[str, Line]:
    """Hold-out curves of configurations, by name, of those that have them."""
    lines = {name: line(found[place]) for name, place in group.items() if place in places}
    return {name: some for name, some in lines.items() if some is not None}


def _equal(row: str, lines: Mapping[str, Line]) -> tuple[str, Sequence[Equal]]:
    """What each has reached when the first of them is through."""
    seconds, in_time = at_equal(lines, "seconds")
    updates, in_updates = at_equal(lines, "updates")
    said = f"{row}: after {duration(seconds)}, after {updates:,.0f} updates"
    return said, [Equal(name, f"{in_time[name]:.2f}", f"{in_updates[name]:.2f}") for name in lines]
