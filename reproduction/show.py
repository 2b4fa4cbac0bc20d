"""A table in the paper's layout, published numbers beside ours, and its claims: for the terminal and as Markdown."""

import dataclasses
import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from reproduction.asides import asides
from reproduction.conclusions import cells_of, lines_of
from reproduction.lab import Lab
from reproduction.progress import Axis, at_equal, beside, late_change, line
from reproduction.results import Found, numbers
from reproduction.scale import Scale
from reproduction.tables import Cell, Number, Place, Table
from reproduction.verdicts import judged
from studygroup.training.report.tables import text

CONVERGED = 0.5
"""Points by which hold-out accuracy changes over the last fifth of the epochs where training has not converged."""

_EQUAL: Mapping[Axis, str] = {"spent": "seconds", "updates": "updates"}


def shown(table: Table, lab: Lab, *, equal: Axis | None = None) -> str:
    """The table for a terminal: each row as published, and below it ours.

    Args:
        table: any.
        lab: whose results are shown.
        equal: adds the hold-out accuracies that a row's configurations have when the first of them is through.
    """
    found = lab.found(table)
    lines, printed = [("", "", *table.columns)], any(cell.published for cell in table.cells.values())
    added = (
        [_equal(table, group, found, equal) for group in beside(table).values()] if equal is not None else []
    )
    for row in table.rows:
        cells = [table.cells[row, column] for column in table.columns]
        if printed:
            lines.append((row, "published", *(published(cell) for cell in cells)))
        if table.runnable or any(cell.place in found for cell in cells):
            name = "" if printed else row
            lines.append((name, "ours", *(ours(cell, found) or "-" for cell in cells)))
        lines += [words[row] for words in added if row in words]
    parts = [f"{table.paper}\n{table.title}: {table.units}\n", text(lines), "", *remarks(table, lab, found)]
    parts += _left_out(table, found, equal) if equal is not None else []
    claims = judged(table, values(table, found))
    parts += ["\nClaims:" if claims else "", *(lines_of(claim) for claim in claims)]
    return "\n".join(parts).rstrip()


def markdown(table: Table, lab: Lab) -> str:
    """The table in Markdown, published and ours in one cell.

    Args:
        table: any.
        lab: whose results are shown.
    """
    found = lab.found(table)
    lines = [f"### {table.title}", "", f"{table.units}; published / ours ± std (n)", ""]
    if not table.runnable and not found:
        lines[2] = f"{table.units}; published"
    lines += [row_of("", *table.columns), row_of(*["---"] * (len(table.columns) + 1))]
    for row in table.rows:
        cells = [table.cells[row, column] for column in table.columns]
        lines.append(row_of(row, *(_both(cell, found) for cell in cells)))
    lines += ["", *(f"- {remark}" for remark in remarks(table, lab, found))]
    claims = judged(table, values(table, found))
    if claims:
        lines += ["", row_of("claim", "published numbers", "here"), row_of("---", "---", "---")]
        lines += [row_of(*cells_of(claim)) for claim in claims]
    return "\n".join(lines).rstrip() + "\n"


def values(table: Table, found: Mapping[Place, Found]) -> dict[Place, list[float]]:
    """The numbers of the finished runs of each cell, in the table's unit, in the order of the seeds.

    Args:
        table: any.
        found: its finished runs.
    """
    each = {place: numbers(table.cells[place].measure, some) for place, some in found.items()}
    return {place: some for place, some in each.items() if some}


def published(cell: Cell) -> str:
    """The number in print, with its mark; a dash where there is none."""
    number = cell.published
    if number is None:
        return "-"
    digits = cell.measure.digits
    std = "" if number.std is None else f" ± {number.std:.{digits}f}"
    return f"{number.mean:,.{digits}f}{std}{_mark(number)}"


def ours(cell: Cell, found: Mapping[Place, Found]) -> str:
    """Mean ± sample deviation (n) of the finished runs, or the number that follows; empty where there is none."""
    own = numbers(cell.measure, found[cell.place]) if cell.place in found else []
    if not own:
        return ""
    digits = cell.measure.digits
    std = f" ± {statistics.stdev(own):.{digits}f}" if len(own) > 1 else ""
    count = f" ({len(own)})" if cell.trained else ""
    return f"{statistics.fmean(own):,.{digits}f}{std}{count}"


def remarks(table: Table, lab: Lab, found: Mapping[Place, Found]) -> list[str]:
    """What is to be known of the numbers: marks, scale, data, what has not converged, runs that gave none.

    Args:
        table: any.
        lab: whose results are shown.
        found: the table's finished runs.
    """
    said = [table.note] if table.note else []
    said += [f"({mark}) {meaning}." for mark, meaning in table.marks.items()]
    own = asides(table, found, finds=lab.found)
    if not table.runnable:
        how = f"Counted at scale {lab.scale.name}" if found and not own else "Published only"
        return [*said, *(own or [f"{how}: nothing is trained for it."])]
    said.append(_scaled(table, lab.scale))
    return [*said, *stand_ins(table, found), *unconverged(table, found), *_stopped(table, lab), *own]


def stand_ins(table: Table, found: Mapping[Place, Found]) -> list[str]:
    """What the data of the finished runs are called.

    Args:
        table: any.
        found: its finished runs.
    """
    cells = (cell for cell in table.runnable if cell.place in found)
    names = {cell.data.name: found[cell.place].data for cell in cells if cell.data}
    return [f"{name} is `{other}` here." for name, other in names.items()]


def _equal(
    table: Table, group: Mapping[str, Place], found: Mapping[Place, Found], axis: Axis
) -> dict[str, tuple[str, ...]]:
    """Lines by row: hold-out accuracies of cells beside one another at equal time or updates, of two at least."""
    curves = {name: line(found[place]) for name, place in group.items() if place in found}
    lines = {
        name: curve
        for name, curve in curves.items()
        if curve is not None and table.cells[group[name]].trained
    }
    total, reached = at_equal(lines, axis)
    at = {group[name]: f"{value:.2f}" for name, value in reached.items()}
    said = f"hold-out, {total:,.0f} {_EQUAL[axis]}"
    rows = dict.fromkeys(row for row, _ in at)
    return {row: ("", said, *(at.get((row, column), "-") for column in table.columns)) for row in rows}


def _left_out(table: Table, found: Mapping[Place, Found], axis: Axis) -> list[str]:
    """The configurations that have results, but no curve over this axis."""
    lines = {cell.label: line(found[cell.place]) for cell in table.runnable if cell.place in found}
    lacking = [name for name, curve in lines.items() if curve is None or not getattr(curve, axis)]
    said = f"It is not known how far they were after how many {_EQUAL[axis]}, so that they are left out"
    return [f"{said}: {'; '.join(lacking)}."] if lacking else []


def unconverged(table: Table, found: Mapping[Place, Found]) -> list[str]:
    """Configurations whose hold-out accuracy still changed at the end, see `CONVERGED`, or of which it is not known.

    Args:
        table: any.
        found: its finished runs.
    """
    cells = [cell for cell in table.runnable if cell.place in found]
    changes = {cell.label: late_change(found[cell.place]) for cell in cells}
    some = [f"{label} ({c:+.1f})" for label, c in changes.items() if c is not None and abs(c) >= CONVERGED]
    how = "Not converged, hold-out accuracy changed by so many points in the last fifth of the epochs"
    said = [f"{how}: {', '.join(some)}."] if some else []
    short = [label for label, change in changes.items() if change is None]
    unknown = "Whether it has converged is not known, for want of a curve of five epochs or more"
    return [*said, f"{unknown}: {', '.join(short)}."] if short else said


def _stopped(table: Table, lab: Lab) -> list[str]:
    """Runs that ended without figures, so that nobody takes the seeds that are left for all."""
    ended = lab.ended()
    keys = {lab.key(cell): cell.label for cell in table.runnable} if ended else {}
    pairs = ((*name.rpartition("-")[::2], words) for name, words in ended.items())
    return [f"{keys[key]}, seed {seed}: no figures, {words}" for key, seed, words in pairs if key in keys]


def _scaled(table: Table, scale: Scale) -> str:
    """The scale as it is for the table's networks."""
    names = dict.fromkeys(cell.settings["model"] for cell in table.runnable if cell.settings)
    stated = dict.fromkeys(name for cell in table.runnable for name in cell.regime)
    nothing: dict[str, Any] = dict.fromkeys(stated)
    alike: dict[str, list[str]] = {}
    for name in names:
        regime = dataclasses.replace(scale.regimes[name], **nothing)
        alike.setdefault(str(regime), []).append(name)
    said = "; ".join(f"{regime} ({', '.join(some)})" for regime, some in alike.items())
    *most, last = stated or ("",)
    named = f"{', '.join(most)} and {last}" if most else last
    stays = f"; {named} as the table says" if last else ""
    return f"Scale {scale.name}: {said}{stays}."


def _both(cell: Cell, found: Mapping[Place, Found]) -> str:
    own = ours(cell, found)
    return f"{published(cell)} / {own}" if own else published(cell)


def _mark(number: Number) -> str:
    return f" ({number.mark})" if number.mark else ""


def row_of(*cells: str) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def listed(tables: Sequence[Table], lab: Lab, *, seeds: int) -> str:
    """One line a table: what there is, and how many of its runs are finished.

    Args:
        tables: in order.
        lab: whose results are counted.
        seeds: of each cell.
    """
    rows = [("", "", "cells", "finished runs")]
    for table in tables:
        finished = table.untrained
        if table.runnable:
            found = lab.found(table)
            cells = {json.dumps(lab.config(cell), sort_keys=True): cell.place for cell in table.runnable}
            seen = [set(found[place].runs) & set(range(seeds)) for place in cells.values() if place in found]
            finished = f"{sum(map(len, seen))} of {seeds * len(cells)}"
        rows.append((table.id, table.title, str(len(table.cells)), finished))
    return text(rows)
