"""Plots of a table: lines if an axis consists of numbers, points with intervals if it does not."""

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from reproduction.tables import Cell, Place, Table
from studygroup.analysis.intervals import CONFIDENCE, FEWEST, half_width
from studygroup.report.drawing import DASHES, INK, MARKERS, SOFT, Plot, colour, figure_with_axes, legend, svg

Values = Mapping[Place, Sequence[float]]
_AXIS = re.compile(r"(?:[^\d=]*= ?)?(-?\d[\d,]*(?:\.\d+)?)(?: ?([^\d,].*))?")

_HOLLOW = "Hollow: published; each side has an axis of its own."
_RATIO, _RATIO_UNIT = "sharing", "share of the layers that two students have in common"


@dataclass(frozen=True)
class Axis:
    """Labels that are numbers of one unit.

    Attributes:
        at: number by label.
        unit: after the numbers, if there is one.
    """

    at: Mapping[str, float]
    unit: str


def axis(labels: Sequence[str]) -> Axis | None:
    """Return the labels as positions on an axis; None if they are names.

    Args:
        labels: of rows or columns. Three or more numbers of one unit, after words that they have in common, are an
            axis; 1, 2, 3, ... without a unit are names.
    """
    parts = [label.rpartition(", ") for label in labels]
    alike = len({head for head, _, _ in parts}) == 1
    matches = [
        _AXIS.fullmatch(tail if alike else label) for label, (_, _, tail) in zip(labels, parts, strict=True)
    ]
    if len(labels) < 3 or any(match is None for match in matches):
        return None
    at = {label: float(m[1].replace(",", "")) for label, m in zip(labels, matches, strict=True) if m}
    units = {(m[2] or "").removesuffix("s") for m in matches if m}
    numbered = units == {""} and list(at.values()) == [1 + k for k in range(len(at))]
    if len(units) > 1 or len({*at.values()}) < len(at) or numbered:
        return None
    return Axis(at, next(m[2] or "" for m in reversed(matches) if m))


def plots(table: Table, values: Values) -> list[Plot]:
    """Plot the parts of a table that have runs."""
    if not values:
        return []
    ratios = _ratios(table, values)
    alike = [
        rows
        for rows in _alike(table)
        if not (ratios and table.cells[rows[0], table.columns[0]].measure.name == _RATIO)
        if any((row, column) in values for row in rows for column in table.columns)
    ]
    down, across = [axis(rows) for rows in alike], axis(table.columns) or ratios
    if None not in down:
        return [
            _lines(table, values, at, {c: {row: (row, c) for row in rows} for c in table.columns})
            for at, rows in zip(down, alike, strict=True)
            if at is not None
        ]
    if across is not None:
        return [
            _lines(table, values, across, {row: {c: (row, c) for c in table.columns} for row in rows})
            for rows in alike
        ]
    rows = [row for row in table.rows if any((row, column) in values for column in table.columns)]
    if len(table.columns) == 1 and len(rows) > 1:
        return [
            _points(table, values, table.columns[0], [(row, (row, table.columns[0])) for row in table.rows])
        ]
    return [
        _points(table, values, row, [(column, (row, column)) for column in table.columns]) for row in rows
    ]


def _ratios(table: Table, values: Values) -> Axis | None:
    """Return the columns' sharing ratios as positions on an axis, for a table that counts them in a row."""
    row = next((row for row in table.rows if table.cells[row, table.columns[0]].measure.name == _RATIO), None)
    if row is None:
        return None
    return Axis({column: round(values[row, column][0], 2) for column in table.columns}, _RATIO_UNIT)


def _alike(table: Table) -> list[list[str]]:
    """Group rows by their measure."""
    groups: dict[str, list[str]] = {}
    for row in table.rows:
        groups.setdefault(table.cells[row, table.columns[0]].measure.name, []).append(row)
    return list(groups.values())


def _unit(cell: Cell) -> str:
    return f"{cell.measure.name}, {cell.measure.unit}"


def _lines(table: Table, values: Values, at: Axis, lines: Mapping[str, Mapping[str, Place]]) -> Plot:
    """Plot means against numbers, with intervals; published numbers are next to them, on separate axes."""
    some = {
        name: places for name, places in lines.items() if any(place in values for place in places.values())
    }
    first = table.cells[next(iter(next(iter(some.values())).values()))]
    said, printed = [], _in_print(table, some)
    with figure_with_axes(height=290, columns=1 + printed, share=False) as (figure, axes):
        for number, (name, places) in enumerate(some.items()):
            ours = sorted((at.at[label], values[place]) for label, place in places.items() if place in values)
            _line(axes[0], number, name, ours)
            _published_line(axes[-1], number, table, at, places)
            said.append(f"{name}: " + ", ".join(f"{statistics.fmean(v):.4g} at {x:g}" for x, v in ours))
        for own, side in zip(axes, ("ours", "published"), strict=False):
            own.set_xticks(sorted(at.at.values()), [f"{x:g}" for x in sorted(at.at.values())])
            if printed:
                own.set_title(side, loc="left")
        axes[0].set_ylabel(_unit(first))
        figure.supxlabel(at.unit or _axis_name(table), fontsize=11)
        if len(some) > 1:
            legend(figure)
        words = f"{table.title}, {_unit(first)}. {'; '.join(said)}."
        return Plot(_unit(first), words, svg(figure, words), _note(table, values, published=printed))


def _line(axes: Axes, number: int, name: str, ours: Sequence[tuple[float, Sequence[float]]]) -> None:
    axes.errorbar(
        [x for x, _ in ours],
        [statistics.fmean(numbers) for _, numbers in ours],
        yerr=[half_width(numbers) for _, numbers in ours],
        color=colour(number),
        marker=MARKERS[number % len(MARKERS)],
        linestyle=DASHES[number % len(DASHES)],
        capsize=3,
        elinewidth=1.2,
        label=name,
    )


def _published_line(axes: Axes, number: int, table: Table, at: Axis, places: Mapping[str, Place]) -> None:
    points = [
        (at.at[label], cell.published.mean)
        for label, place in places.items()
        if (cell := table.cells[place]).published is not None
    ]
    axes.plot(
        [x for x, _ in points],
        [y for _, y in points],
        marker=MARKERS[number % len(MARKERS)],
        markerfacecolor="none",
        color=colour(number),
        linewidth=0.8,
        linestyle=":",
    )


def _points(table: Table, values: Values, title: str, places: Sequence[tuple[str, Place]]) -> Plot:
    """Plot our means with intervals, one row per cell; published numbers are next to them, on a separate axis."""
    cells = [(label, table.cells[place]) for label, place in places]
    cells = [(label, cell) for label, cell in cells if cell.published or cell.place in values]
    unit, some = _unit(cells[0][1]), any(cell.published for _, cell in cells)
    with figure_with_axes(height=74 + 23 * len(cells), columns=1 + some) as (figure, axes):
        said = [
            _point(axes, y, label, cell, values.get(cell.place, ())) for y, (label, cell) in enumerate(cells)
        ]
        axes[0].set_yticks(range(len(cells)), [label for label, _ in cells], color=INK)
        axes[0].set_ylim(len(cells) - 0.5, -0.5)
        for own, name in zip(axes, ("published", "ours") if some else ("ours",), strict=True):
            own.set_title(name, loc="left")
            own.xaxis.set_major_locator(MaxNLocator(4))
            own.grid(visible=False, axis="y")
        figure.supxlabel(unit, fontsize=11)
        words = f"{table.title}, {title}, {unit}. {'; '.join(said)}."
        return Plot(title, words, svg(figure, words), _note(table, values, published=some))


def _point(axes: Sequence[Axes], y: int, label: str, cell: Cell, numbers: Sequence[float]) -> str:
    """Plot a cell's points, and describe them."""
    said = []
    if cell.published:
        bar: dict[str, Any] = {"color": SOFT, "capsize": 2, "elinewidth": 1, "markerfacecolor": "none"}
        axes[0].errorbar(cell.published.mean, y, xerr=cell.published.std, fmt="D", **bar)
        said.append(f"published {cell.published.mean:g}")
    if numbers:
        mean = statistics.fmean(numbers)
        axes[-1].plot(numbers, [y] * len(numbers), "|", color=colour(0), markersize=9, alpha=0.6)
        axes[-1].errorbar(mean, y, xerr=half_width(numbers), fmt="o", color=colour(0), capsize=3)
        said.append(f"ours {mean:.4g}")
    return f"{label}: {', '.join(said)}"


def _in_print(table: Table, lines: Mapping[str, Mapping[str, Place]]) -> bool:
    return any(table.cells[place].published for places in lines.values() for place in places.values())


def _note(table: Table, values: Values, *, published: bool) -> str:
    """Describe how to read the signs."""
    if all(table.cells[place].measure.counted for place in values):
        return (
            f"Filled: ours, counted. {_HOLLOW}"
            if published
            else "Counted; no numbers are published beside them."
        )
    counts = [len(numbers) for numbers in values.values()]
    bars = f"bars: {CONFIDENCE:.0%} interval of the mean" + (
        f", from {FEWEST} seeds on" if min(counts) < FEWEST else ""
    )
    bars = bars if max(counts) >= FEWEST else f"no intervals below {FEWEST} seeds"
    if published:
        return f"Filled: ours, {bars}. {_HOLLOW}"
    return f"Ours, {bars}. No numbers are published beside them."


def _axis_name(table: Table) -> str:
    """Name the axis of bare numbers: the title's words after `against`, or its last words."""
    return table.title.rpartition(" against ")[2].removeprefix("the ")
