"""`python -m reproduction report`: from folders to one page."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from reproduction.report.sources import sources
from reproduction.scale import SCALES
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
    """Write one HTML page of results: the papers' tables and ours, comparisons, and single runs.

    The page is self-contained: it opens from disk, follows light and dark mode, and prints.

    Args:
        runs: folders: the `--run_dir` of `python -m reproduction`, a folder of its results alone, one that
            `studygroup compare` wrote, or a run folder of `studygroup train`; several are put into one page.
        out: the page; omitted, `report.html` beside the first folder.
        tables: ids of the tables to show, see `python -m reproduction list`; omitted, all.
        scale: of the papers' runs to show.
        rows: training rows, if the papers' runs were made with a number other than the scale's.
        epochs: likewise.
        change: settings that the papers' runs were made with, which override all others.

    Returns:
        The page.

    Raises:
        ValueError: a folder holds none of these, an unknown table, damaged results, or a package is missing.
    """
    path = page_path(runs, out)
    size = {
        "--scale": scale,
        "--rows": rows,
        "--epochs": epochs,
        "--change": json.dumps(change) if change else None,
    }
    again = shlex.join(
        [word for name, value in size.items() if value is not None for word in (name, str(value))]
    )
    regimes = SCALES[scale].changed(rows=rows, epochs=epochs)
    found = sources(runs, scale=regimes, change=change, ids=tables)

    def page() -> str:
        from reproduction.report.page import page

        return page(found, again=again)

    return write_page(path, page)
