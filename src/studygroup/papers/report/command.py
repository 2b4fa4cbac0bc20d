"""The command `studygroup report`: from folders to one page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from studygroup.extras import missing
from studygroup.files import write_text
from studygroup.papers.report.sources import Options, sources


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
        runs: folders: the `--run_dir` of `studygroup papers`, a folder of its results alone, one that `studygroup
            compare` wrote, or a run folder of `studygroup train`; several are put into one page.
        out: the page; omitted, `report.html` beside the first folder.
        tables: ids of the tables to show, see `studygroup papers list`; omitted, all.
        scale: of the papers' runs to show.
        rows: training rows, where the papers' runs were made with another number than the scale's.
        epochs: likewise.
        change: settings that the papers' runs were made with, laid over all.

    Returns:
        The page.

    Raises:
        ValueError: a folder holds none of these, an unknown table, damaged results, or a package is missing.
    """
    path = _place(runs, out)
    options = Options(tables=tuple(tables), scale=scale, rows=rows, epochs=epochs, change=dict(change or {}))
    found = sources(runs, options)
    try:
        from studygroup.papers.report.page import page
    except ImportError as error:
        raise missing("a report", "report", error) from error
    write_text(path, page(found))
    return path


def _place(runs: Sequence[str], out: str | None) -> Path:
    """Where the page goes, which is not in the place of a run's own report."""
    if not runs:
        raise ValueError("no folder was given; give at least one folder of results or of a run")
    path = Path(out) if out is not None else Path(runs[0]).resolve().parent / "report.html"
    if path.is_dir() or (out is None and (path.parent / "summary.json").exists()):
        taken = f"{path} is a folder" if path.is_dir() else f"{path} is the report of the run there"
        raise ValueError(f"{taken}; give the name of a file with --out")
    return path
