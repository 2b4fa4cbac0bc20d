"""Figures and plots of the analyses kept in run folders."""

import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.patches import Rectangle

from studygroup.analysis import read_analyses
from studygroup.analysis.results import FOLDER, understood
from studygroup.report.drawing import (
    DASHES,
    INK,
    MARKERS,
    MOST,
    SOFT,
    Plot,
    colour,
    figure_with_axes,
    legend,
    svg,
)
from studygroup.report.sources import Folders
from studygroup.training.folder import RunFolder

Runs = Mapping[str, Sequence[Mapping[str, Any]]]
"""Results of an analysis in the runs of each configuration, by label."""


def noise(about: str, runs: Runs) -> list[Plot]:
    """Plot accuracy against the noise on the parameters of `flatness`, one line per configuration."""
    labels = list(runs)
    return [
        _noise(about, {label: runs[label] for label in labels[at : at + MOST]})
        for at in range(0, len(labels), MOST)
    ]


def _noise(about: str, runs: Runs) -> Plot:
    said = []
    first = next(iter(runs.values()))[0]
    with figure_with_axes(height=290) as (figure, (axes,)):
        for number, (label, found) in enumerate(runs.items()):
            sigmas, accuracy = _mean_noise(found)
            std = found[0]["std"] if len(found) == 1 and len(sigmas) == 1 else None
            bars = None if std is None else 100 * std[0]
            style: dict[str, Any] = {
                "color": colour(number),
                "marker": MARKERS[number],
                "linestyle": DASHES[number],
            }
            axes.errorbar(sigmas, accuracy, yerr=bars, label=label, **style)
            said.append(f"{label}: {accuracy[0]:.1f} to {accuracy[-1]:.1f} at {sigmas[-1]:g}")
        axes.set_xlabel(
            "noise on the parameters, sigma" + (" / deviation of the tensor" if first.get("relative") else "")
        )
        axes.set_ylabel("test accuracy, %")
        legend(figure)
        words = f"{about}: accuracy under Gaussian noise on the parameters. {'; '.join(said)}."
        note = f"Mean over {first['draws']} draws and over seeds. Flat is good."
        return Plot("Accuracy under noise on the parameters", words, svg(figure, words), note)


def _mean_noise(found: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    """Return noise and mean accuracy in percent, over the runs measured at the same noise as the first."""
    alike = [one for one in found if one["sigmas"] == found[0]["sigmas"]]
    clean = [one["clean"] for one in alike if "clean" in one]
    sigmas, columns = list(found[0]["sigmas"]), list(zip(*(one["accuracy"] for one in alike), strict=True))
    if len(clean) == len(alike) and 0.0 not in sigmas:
        sigmas, columns = [0.0, *sigmas], [tuple(clean), *columns]
    return sigmas, [100 * statistics.fmean(column) for column in columns]


def _first_of_each(draw: Callable[[str, str, Mapping[str, Any]], Plot], about: str, runs: Runs) -> list[Plot]:
    """Draw the first run of each configuration."""
    return [draw(about, label, found[0]) for label, found in runs.items()]


def _reliability(about: str, label: str, found: Mapping[str, Any]) -> Plot:
    """Plot accuracy against confidence, of the shipped network and the ensemble."""
    said = []
    with figure_with_axes(height=300) as (figure, (axes,)):
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=DASHES[4], label="as sure as right")
        for number, name in enumerate(name for name in ("shipped", "ensemble") if name in found):
            bins = [one for one in found[name]["bins"] if one["count"]]
            axes.plot(
                [one["confidence"] for one in bins],
                [one["accuracy"] for one in bins],
                color=colour(number),
                marker=MARKERS[number],
                linestyle=DASHES[number],
                label=f"{name}, error {found[name]['ece']:.3f}",
            )
            said.append(f"{name}: expected calibration error {found[name]['ece']:.4f}")
        axes.set_xlabel("confidence")
        axes.set_ylabel("share of right answers")
        legend(figure)
        words = f"{about}, {label}: reliability diagram. {'; '.join(said)}."
        return Plot(
            f"Reliability, {label}", words, svg(figure, words), "Below the diagonal: too sure. One run."
        )


def _matrix(about: str, label: str, found: Mapping[str, Any]) -> Plot:
    """Plot the similarity of the students' representations, as a matrix."""
    matrix, students = found["cka"], range(len(found["cka"]))
    with figure_with_axes(height=330) as (figure, (axes,)):
        for row in students:
            for column in students:
                value = matrix[row][column]
                # opacity in place of a colour map: it follows light and dark
                axes.add_patch(
                    Rectangle((column, row), 1, 1, facecolor=colour(0), alpha=0.75 * max(value, 0.0))
                )
                size: dict[str, Any] = {
                    "fontsize": 10 if len(matrix) < 10 else 7,
                    "color": INK,
                    "ha": "center",
                    "va": "center",
                }
                axes.text(column + 0.5, row + 0.5, f"{value:.2f}", **size)
        axes.set(xlim=(0, len(matrix)), ylim=(len(matrix), 0), aspect="equal")
        axes.set_xticks([k + 0.5 for k in students], [str(k) for k in students])
        axes.set_yticks([k + 0.5 for k in students], [str(k) for k in students])
        axes.set_xlabel("student")
        axes.set_ylabel("student")
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        words = f"{about}, {label}: CKA similarity of students, mean over pairs {found['similarity']:.3f}."
        note = (
            f"Linear CKA at {found.get('layer', 'the last layer')}, mean {found['similarity']:.3f}. One run."
        )
        return Plot(f"Similarity of students, {label}", words, svg(figure, words), note)


def landscapes(about: str, runs: Runs) -> list[Plot]:
    """Plot the loss around the shipped network, and on the lines between students."""
    plots = []
    for label, (one, *_) in runs.items():
        around, between = f"Loss around the shipped network, {label}", f"Loss between students, {label}"
        plots += _slices(about, around, one["around"], one["directions"], "step along a random direction")
        plots += _slices(about, between, one["line"], one["lines"], "from one student to the other")
    return plots


def _slices(
    about: str, title: str, at: Sequence[float], ways: Sequence[Mapping[str, Any]], name: str
) -> list[Plot]:
    """Plot the loss along some ways; nothing without any."""
    if not ways:
        return []
    ways = ways[:MOST]
    with figure_with_axes() as (figure, (axes,)):
        for number, way in enumerate(ways):
            label = "students {} and {}".format(*way["pair"]) if "pair" in way else f"direction {number + 1}"
            axes.plot(at, way["loss"], color=colour(number), linestyle=DASHES[number], label=label)
        axes.set_xlabel(name)
        axes.set_ylabel("loss")
        legend(figure)
        highest = max(max(way["loss"]) for way in ways)
        words = f"{about}, {title}. {len(ways)} slices, the highest loss is {highest:.3g}."
        return [Plot(title, words, svg(figure, words), "One run.")]


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

    Where two folders have a name in common, it has as much of their paths before it as tells them apart.

    Raises:
        ValueError: a file is damaged.
    """
    found = {run.path.resolve(): [own] for run in folders.runs if (own := read_analyses(run))}
    for folder in folders.comparisons:
        for path in sorted(folder.resolve().iterdir()):
            if own := read_analyses(RunFolder(path)):
                found.setdefault(folder.resolve() / path.name.rpartition("-")[0], []).append(own)
    return {_told_apart(path, found): own for path, own in found.items()}


def _told_apart(path: Path, among: Collection[Path]) -> str:
    """Return the last parts of a path, as few as no other one ends with."""
    parts = next(
        (
            path.parts[-number:]
            for number in range(1, len(path.parts))
            if sum(other.parts[-number:] == path.parts[-number:] for other in among) == 1
        ),
        path.parts,
    )
    return "/".join(parts)


def analysed(title: str, runs: Mapping[str, Sequence[Kept]]) -> Analysed:
    """Return plots and figures of analyses by name of the run or configuration, under a title."""

    def having(name: str) -> dict[str, list[dict[str, Any]]]:
        some = {label: [one[name] for one in own if name in one] for label, own in runs.items()}
        return {label: own for label, own in some.items() if own}

    drawn: list[Plot] = []
    for name, draw in _DRAWN.items():
        some = having(name)
        with understood(f"{FOLDER}/{name}.json of {', '.join(some)}"):
            drawn += draw(title, some)
    columns = {
        head: of
        for head, of in _FIGURES.items()
        if any(_told(of, one) for own in runs.values() for one in own)
    }
    rows = [
        [label, *(_told(of, one) for of in columns.values())] for label, own in runs.items() for one in own
    ]
    return Analysed(title, drawn, ["run", *columns] if columns else [], rows if columns else [])


_DRAWN: Mapping[str, Callable[[str, Runs], list[Plot]]] = {
    "flatness": noise,
    "calibration": partial(_first_of_each, _reliability),
    "similarity": partial(_first_of_each, _matrix),
    "landscape": landscapes,
}
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
    except (KeyError, TypeError, ValueError):
        return ""
