"""`python -m reproduction report`: from folders to one page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from reproduction.report.sources import Options, sources
from studygroup.report.command import page_path, write_page


def report(
    runs: Sequence[str],
    *,
    out: str | None = None,
    tables: Sequence[str] = (),
    scale: Literal["small", "full"] = "small",
    rows: int | None = None,
    epochs: int | None = None,
    change: dict[str, Any] | None = None,
) -> Path:
    """Writes one HTML page of results: the papers' tables beside ours, comparisons, and single runs.

    The page needs nothing from outside: it opens from disk, follows light and dark, and prints.

    Args:
        runs: folders: the `--run_dir` of `python -m reproduction`, a folder of its results alone, one that
            `studygroup compare` wrote, or a run folder of `studygroup train`; several are put into one page.
        out: the page; omitted, `report.html` beside the first folder.
        tables: ids of the tables to show, see `python -m reproduction list`; omitted, all.
        scale: of the papers' runs to show.
        rows: training rows, where the papers' runs were made with another number than the scale's.
        epochs: likewise.
        change: settings that the papers' runs were made with, laid over all.

    Returns:
        The page.

    Raises:
        ValueError: a folder holds none of these, an unknown table, damaged results, or a package is missing.
    """
    path = page_path(runs, out)
    options = Options(tables=tuple(tables), scale=scale, rows=rows, epochs=epochs, change=dict(change or {}))
    found = sources(runs, options)

    def page() -> str:
        from reproduction.report.page import page

        return page(found)

    return write_page(path, page)
