"""Plots of analyses: accuracy under noise, reliability diagrams, similarity of students, slices of the loss."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.patches import Rectangle

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

Runs = Mapping[str, Sequence[Mapping[str, Any]]]
"""Results of an analysis in the runs of each configuration, by label."""


def noise(about: str, runs: Runs) -> list[Plot]:
    """Plot accuracy against the noise on the parameters, one line per configuration.

    Args:
        about: what the runs belong to, for the text alternative.
        runs: results of `flatness`.
    """
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


def reliability(about: str, runs: Runs) -> list[Plot]:
    """Plot accuracy against confidence, of the shipped network and the ensemble.

    Args:
        about: what the runs belong to, for the text alternative.
        runs: results of `calibration`; the first of each configuration is drawn.
    """
    return [_reliability(about, label, found[0]) for label, found in runs.items()]


def _reliability(about: str, label: str, found: Mapping[str, Any]) -> Plot:
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


def similarities(about: str, runs: Runs) -> list[Plot]:
    """Plot the similarity of the students' representations, as a matrix.

    Args:
        about: what the runs belong to, for the text alternative.
        runs: results of `similarity`; the first of each configuration is drawn.
    """
    return [_matrix(about, label, found[0]) for label, found in runs.items()]


def _matrix(about: str, label: str, found: Mapping[str, Any]) -> Plot:
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
    """Plot the loss around the shipped network, and on the lines between students.

    Args:
        about: what the runs belong to, for the text alternative.
        runs: results of `landscape`; the first of each configuration is drawn.
    """
    plots = []
    for label, found in runs.items():
        one = found[0]
        for title, at, ways, name in (
            (
                "Loss around the shipped network",
                one["around"],
                one["directions"],
                "step along a random direction",
            ),
            ("Loss between students", one["line"], one["lines"], "from one student to the other"),
        ):
            if ways:
                plots.append(_slice(about, f"{title}, {label}", at, ways, name))
    return plots


def _slice(about: str, title: str, at: Sequence[float], ways: Sequence[Mapping[str, Any]], name: str) -> Plot:
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
        return Plot(title, words, svg(figure, words), "One run.")
