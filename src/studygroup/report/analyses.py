"""Figures and plots of the analyses kept in run folders."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studygroup.analysis import kept
from studygroup.report.analysisplots import landscapes, noise, reliability, similarities
from studygroup.report.drawing import Plot
from studygroup.report.sources import Folders
from studygroup.training.folder import RunFolder

Kept = dict[str, dict[str, Any]]
"""Results of analyses in one run, by their names."""


@dataclass(frozen=True)
class Analysed:
    """Runs of one table, or those given by themselves.

    Attributes:
        title: title of the table, or another heading.
        plots: plots of all kinds, one after another.
        head: header of a table of further figures; empty where there are none.
        rows: one row per run.
    """

    title: str
    plots: Sequence[Plot]
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def of_folders(folders: Folders) -> dict[str, list[Kept]]:
    """Return the analyses of single runs and of runs in comparisons, by name of the run or configuration.

    Args:
        folders: folders of comparisons and runs.

    Raises:
        ValueError: a file is damaged.
    """
    found = {run.path.resolve().name: [own] for run in folders.runs if (own := kept(run))}
    for folder in folders.comparisons:
        for path in sorted(folder.iterdir()):
            if own := kept(RunFolder(path)):
                found.setdefault(path.name.rpartition("-")[0], []).append(own)
    return found


def analysed(title: str, runs: Mapping[str, Sequence[Kept]]) -> Analysed:
    """Return plots and figures of analyses.

    Args:
        title: their heading.
        runs: results of analyses, by name of the run or configuration.
    """

    def having(name: str) -> dict[str, list[dict[str, Any]]]:
        some = {label: [one[name] for one in own if name in one] for label, own in runs.items()}
        return {label: own for label, own in some.items() if own}

    drawn = [
        *noise(title, having("flatness")),
        *reliability(title, having("calibration")),
        *similarities(title, having("similarity")),
        *landscapes(title, having("landscape")),
    ]
    columns = {
        head: of
        for head, of in _FIGURES.items()
        if any(_told(of, one) for own in runs.values() for one in own)
    }
    rows = [
        [label, *(_told(of, one) for of in columns.values())] for label, own in runs.items() for one in own
    ]
    return Analysed(title, drawn, ["run", *columns] if columns else [], rows if columns else [])


_FIGURES: Mapping[str, Callable[[Kept], str]] = {
    "drop under noise, points": lambda one: f"{one['flatness']['drop']:.2f}",
    "calibration error": lambda one: f"{one['calibration']['shipped']['ece']:.4f}",
    "of the ensemble": lambda one: f"{one['calibration']['ensemble']['ece']:.4f}",
    "ensemble": lambda one: f"{one['ensemble']['ensemble']:.2%}",
    "over the mean student, points": lambda one: f"{one['ensemble']['gain']['mean']:+.2f}",
    "diversity": lambda one: f"{one['diversity']['diversity']:.3f}",
    "disagreement": lambda one: f"{one['diversity']['disagreement']:.2%}",
    "layers shared": lambda one: f"{one['sharing']['sharing']:.1%}",
    "epochs to its level": lambda one: f"{one['convergence']['reached']['epoch']}",
    "CKA": lambda one: f"{one['similarity']['similarity']:.3f}",
    "barrier between students": lambda one: f"{one['landscape']['barrier']:.3f}",
}


def _told(of: Callable[[Kept], str], one: Kept) -> str:
    """Return a figure as text; empty where the run does not have it."""
    try:
        return of(one)
    except (KeyError, TypeError):
        return ""
