"""What training cost beside what it reached: per configuration, and at equal time and equal updates."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reproduction.progress import Line, at_equal, beside, line
from reproduction.report.costplots import cost_plot, curve_plots
from reproduction.report.marks import baseline_of
from reproduction.results import Found, mean_of
from reproduction.tables import Place, Table
from studygroup.report.drawing import Plot

Values = Mapping[Place, Sequence[float]]


@dataclass(frozen=True)
class Cost:
    """One configuration.

    Attributes:
        label: of its cell.
        reached: mean of the table's number.
        students: mean test accuracy of the students in percent; empty where it was not kept.
        ensemble: that of the mean of their answers.
        n: seeds.
        updates: of the weights.
        time: of training in words, mean over seeds: of the processor, or of the clock on a GPU; empty where that was
            not taken.
        ratio: of that time to the baseline's; empty where there is none.
        parameters: in training; empty where they were not counted.
    """

    label: str
    reached: str
    students: str
    ensemble: str
    n: int
    updates: str
    time: str
    ratio: str
    parameters: str


@dataclass(frozen=True)
class Equal:
    """Hold-out accuracy of configurations beside one another at equal time and at equal updates.

    Attributes:
        label: of the configuration.
        n: seeds.
        time: accuracy at equal time; empty where time was not taken.
        updates: accuracy at equal updates.
    """

    label: str
    n: int
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
    lines = {name: _curves(group, places, found) for name, group in beside(table).items()}
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
    cell, own = table.cells[place], found[place]
    runs = list(own.runs.values())
    plain = baseline_of(table, cell)
    seconds = mean_of(own, "spent")
    alone = found.get(plain.place) if plain is not None else None
    usual = mean_of(alone, "spent") if alone is not None else None
    sizes = [run["parameters"] for run in runs if run.get("parameters") is not None]
    return Cost(
        label=cell.label,
        reached=f"{statistics.fmean(values[place]):.{cell.measure.digits}f}",
        students=_percent(mean_of(own, "students_mean")),
        ensemble=_percent(mean_of(own, "ensemble")),
        n=len(runs),
        updates=f"{statistics.fmean(run['updates'] for run in runs):,.0f}",
        time="" if seconds is None else duration(seconds),
        ratio="" if seconds is None or usual is None else f"{seconds / usual:.2f} x",
        parameters=f"{sizes[0]:,}" if sizes else "",
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"


def duration(seconds: float) -> str:
    """Seconds in words: `42 s`, `12.5 min`, `3.1 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _curves(
    group: Mapping[str, Place], places: Sequence[Place], found: Mapping[Place, Found]
) -> dict[str, Line]:
    """Hold-out curves of configurations, by name, of those that have them."""
    lines = {name: line(found[place]) for name, place in group.items() if place in places}
    return {name: some for name, some in lines.items() if some is not None}


def _equal(row: str, lines: Mapping[str, Line]) -> tuple[str, Sequence[Equal]]:
    """What each has reached when the first of them is through."""
    seconds, in_time = at_equal(lines, "spent")
    updates, in_updates = at_equal(lines, "updates")
    after = [f"after {duration(seconds)}"] if in_time else []
    said = f"{row}: {', '.join([*after, f'after {updates:,.0f} updates'])}"
    return said, [
        Equal(name, some.n, f"{in_time[name]:.2f}" if name in in_time else "", f"{in_updates[name]:.2f}")
        for name, some in lines.items()
    ]
