"""A table in the paper's layout, published numbers beside ours, and its claims: for the terminal and as Markdown."""

from collections.abc import Mapping, Sequence

from reproduction.lab import Lab
from reproduction.progress import Axis, at_equal, comparable_cells, mean_curve, of_one_clock
from reproduction.tables import Cell, Place, Table
from reproduction.verdicts import claim_cells, claim_lines
from reproduction.view import View, published, view_of
from studygroup.training.tables import markdown, text

_AXES: Mapping[Axis, str] = {"spent": "seconds", "updates": "updates"}


def as_text(view: View, *, equal: Axis | None = None) -> str:
    """Return a table for a terminal: each row as published, and below it ours.

    Args:
        view: of the table.
        equal: adds the hold-out accuracies that a row's configurations have when the first of them finishes.
    """
    table, lines = view.table, [("", "", *view.table.columns)]
    groups = comparable_cells(table).values() if equal is not None else ()
    added = [_at_equal(view, group, equal) for group in groups if equal is not None]
    for row in table.rows:
        cells = view.row(row)
        printed = any(cell.published for cell in cells)
        if printed:
            lines.append((row, "published", *(published(cell) or "-" for cell in cells)))
        if table.runnable or any(cell.place in view.found for cell in cells):
            lines.append(("" if printed else row, "ours", *(view.ours(cell) or "-" for cell in cells)))
        lines += [words[row] for words in added if row in words]
    parts = [f"{table.paper}\n{table.title}: {table.units}\n", text(lines), "", *view.remarks()]
    parts += _without_axis(view, equal) if equal is not None else []
    parts += ["\nClaims:", *map(claim_lines, view.tested)] if view.tested else []
    if view.untested:
        parts += [f"\nClaims not tested, {len(view.untested)}:", *map(claim_lines, view.untested)]
    return "\n".join(parts).rstrip()


def as_markdown(view: View) -> str:
    """Return a table in Markdown, published and ours in one cell."""
    table = view.table
    both = "published / ours ± std (n)" if table.runnable or view.found else "published"
    rows = [(row, *(_both(view, cell) for cell in view.row(row))) for row in table.rows]
    lines = [
        f"### {table.title}",
        "",
        f"{table.units}; {both}",
        "",
        markdown(rows, head=("", *table.columns)),
    ]
    lines += ["", *(f"- {remark}" for remark in view.remarks())]
    head = ("claim", "published numbers", "here")
    if view.tested:
        lines += ["", markdown([claim_cells(claim) for claim in view.tested], head=head)]
    if view.untested:
        folded = markdown([claim_cells(claim) for claim in view.untested], head=head)
        said = f"{len(view.untested)} claims not tested"
        lines += ["", f"<details><summary>{said}</summary>", "", folded, "", "</details>"]
    return "\n".join(lines).rstrip() + "\n"


def list_tables(tables: Sequence[Table], lab: Lab, *, seeds: int) -> str:
    """Return one line a table: its cells, and how many of so many seeds' runs are finished."""
    rows = [("", "", "cells", "finished runs")]
    for table in tables:
        finished = table.untrained
        if table.runnable:
            found = lab.found(table)
            cells = {lab.key(cell): cell.place for cell in table.runnable}
            seen = [set(found[place].runs) & set(range(seeds)) for place in cells.values() if place in found]
            finished = f"{sum(map(len, seen))} of {seeds * len(cells)}"
        rows.append((table.id, table.title, str(len(table.cells)), finished))
    return text(rows)


def results_page(tables: Sequence[Table], lab: Lab) -> str:
    """Return the tables that have runs in Markdown."""
    known = lab.read_results()
    views = (view_of(table, lab) for table in tables if table.runnable and known)
    said = [as_markdown(view) for view in views if view.trained]
    return "\n".join(said) or "Nothing of the papers' tables has been run yet.\n"


def _both(view: View, cell: Cell) -> str:
    printed, own = published(cell) or "-", view.ours(cell)
    return f"{printed} / {own}" if own else printed


def _at_equal(view: View, group: Mapping[str, Place], axis: Axis) -> dict[str, tuple[str, ...]]:
    """Return lines by row: hold-out accuracies of cells at equal time or updates, of two at least."""
    curves = {
        name: curve
        for name, place in group.items()
        if view.table.cells[place].trained and place in view.found
        if (curve := mean_curve(view.found[place])) is not None
    }
    total, reached = at_equal(curves, axis)
    at = {group[name]: f"{value:.2f}" for name, value in reached.items()}
    said = f"hold-out, {total:,.0f} {_AXES[axis]}"
    return {
        row: ("", said, *(at.get((row, column), "-") for column in view.table.columns))
        for row in dict.fromkeys(row for row, _ in at)
    }


def _without_axis(view: View, axis: Axis) -> list[str]:
    """Name the configurations that have results but no curve over this axis."""
    cells = (cell for cell in view.table.runnable if cell.place in view.found)
    curves = {cell.label: mean_curve(view.found[cell.place]) for cell in cells}
    lacking = [name for name, curve in curves.items() if curve is None or not getattr(curve, axis)]
    said = f"It is not known how far they were after how many {_AXES[axis]}, so that they are left out"
    lines = [f"{said}: {'; '.join(lacking)}."] if lacking else []
    if axis == "spent" and not of_one_clock({name: curve for name, curve in curves.items() if curve}):
        lines.append("Runs of a processor and of a GPU are not compared by seconds.")
    return lines
