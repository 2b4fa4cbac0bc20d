"""Rows of text as tables: aligned for a terminal, or in Markdown."""

from collections.abc import Sequence

Rows = Sequence[tuple[str, ...]]


def markdown(rows: Rows, *, head: Sequence[str]) -> str:
    """Return rows as a Markdown table, without a line break at the end."""
    lines = (f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in (head, *rows))
    first, *others = lines
    return "\n".join([first, "|---" * len(head) + "|", *others])


def text(rows: Rows) -> str:
    """Return rows in aligned columns for a terminal."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = (
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
