"""The command `studygroup report`: from folders to one page."""

from collections.abc import Callable, Sequence
from pathlib import Path

from studygroup.extras import missing
from studygroup.files import write_text
from studygroup.report.sources import Folders, sort_folders
from studygroup.training.folder import RunFolder


def report(runs: Sequence[str], *, out: str | None = None) -> Path:
    """Write one HTML page of comparisons and single runs.

    The page is self-contained: it opens from disk, follows light and dark mode, and prints.

    Args:
        runs: folders that `studygroup compare` wrote, or run folders of `studygroup train`; several are put into one
            page.
        out: path of the page; omitted, `report.html` beside the first folder.

    Returns:
        The path of the page.

    Raises:
        ValueError: a folder holds none of these, damaged results, or a package is missing.
    """
    path, folders = page_path(runs, out), sort_folders(runs)
    if folders.others:
        raise ValueError(
            f"{folders.others[0]} holds no results; give a folder that `studygroup compare` wrote, or the folder "
            "of a finished run"
        )

    def page() -> str:
        from studygroup.report.page import page

        return page(folders)

    return write_page(path, page)


def run_report(folder: RunFolder) -> Path:
    """Write the report of a finished run into its folder.

    Args:
        folder: the run folder.

    Returns:
        The path of the page.

    Raises:
        ValueError: the run is not finished, or a package is missing.
    """

    def page() -> str:
        from studygroup.report.page import page

        return page(Folders(runs=[folder]), program="studygroup train")

    return write_page(folder.report, page)


def write_page(path: Path, page: Callable[[], str]) -> Path:
    """Write the page that `page` renders, importing the plotting libraries, and return its path.

    Raises:
        ValueError: a package is missing.
    """
    try:
        text = page()
    except ImportError as error:
        raise missing("a report", "report", error) from error
    write_text(path, text)
    return path


def page_path(runs: Sequence[str], out: str | None) -> Path:
    """Return the path of the page, which never replaces a run's own report.

    Args:
        runs: the folders.
        out: the path requested; None is `report.html` beside the first folder.

    Raises:
        ValueError: there is no folder, or the place is taken.
    """
    if not runs:
        raise ValueError("no folder was given; give at least one folder of results or of a run")
    path = Path(out) if out is not None else Path(runs[0]).resolve().parent / "report.html"
    if path.is_dir() or (out is None and (path.parent / "summary.json").exists()):
        taken = f"{path} is a folder" if path.is_dir() else f"{path} is the report of the run there"
        raise ValueError(f"{taken}; give the name of a file with --out")
    return path
