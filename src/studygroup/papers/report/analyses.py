"""Analyses that lie in run folders, and those kept with results: which runs have them, and what is drawn of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studygroup.analysis import kept
from studygroup.papers.report.analysisplots import landscapes, noise, reliability, similarities
from studygroup.papers.report.drawing import Plot
from studygroup.papers.report.sources import Sources
from studygroup.training.folder import RunFolder

Kept = dict[str, dict[str, Any]]
"""What analyses found in one run, by their names."""


@dataclass(frozen=True)
class Analysed:
    """The runs of one table, or those given by themselves.

    Attributes:
        title: of the table, or another heading.
        plots: all kinds, one after the other.
        head: of a table of further figures; empty where there are none.
        rows: one a run.
    """

    title: str
    plots: Sequence[Plot]
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def analyses(sources: Sources) -> list[Analysed]:
    """What is there of analyses.

    Args:
        sources: whose run folders are looked through.

    Raises:
        ValueError: a file is damaged.
    """
    groups = _of_tables(sources)
    alone = {run.path.resolve().name: [found] for run in sources.runs if (found := kept(run))}
    for folder in sources.comparisons:
        for path in sorted(folder.iterdir()):
            if found := kept(RunFolder(path)):
                alone.setdefault(path.name.rpartition("-")[0], []).append(found)
    groups += [("Analyses of the runs", alone)] if alone else []
    return [_analysed(title, runs) for title, runs in groups]


def _of_tables(sources: Sources) -> list[tuple[str, dict[str, list[Kept]]]]:
    """By table, and by label of the configuration: what each run has."""
    groups: dict[str, dict[str, list[Kept]]] = {}
    chosen, seen = {table.id for table in sources.tables}, set()
    for id, files in sources.files().items():
        every = [pair for file in files for pair in file["cells"].items()] if id in chosen else []
        for key, cell, seed in [(key, one, seed) for key, one in every for seed in one["seeds"]]:
            if (key, seed) not in seen:
                seen.add((key, seed))
                found = _with_results(sources, key, int(seed), cell["seeds"][seed])
                if found:
                    groups.setdefault(files[0]["title"], {}).setdefault(cell["cell"], []).append(found)
    return list(groups.items())


def _with_results(sources: Sources, key: str, seed: int, figures: Mapping[str, Any]) -> Kept:
    """What a run of the papers has, in its folder or among its figures."""
    found: Kept = {"flatness": figures["flatness"]} if "flatness" in figures else {}
    for lab in sources.labs:
        found |= kept(lab.folder(key, seed))
    return found


def _analysed(title: str, runs: Mapping[str, Sequence[Kept]]) -> Analysed:
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
    """A figure; empty where the run does not have it."""
    try:
        return of(one)
    except (KeyError, TypeError):
        return ""
