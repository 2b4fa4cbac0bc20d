"""The gallery's tables and pictures, from its finished runs."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reproduction.benchmarks.cells import Runs, interval, over, spread
from reproduction.benchmarks.gallery_runs import CELLS

IMAGES = Path(__file__).parents[2] / "docs" / "images"
INK, GRID = "#7a7f87", "#7a7f8755"  # readable on white and on black
COLOURS = ("#7a7f87", "#2f81f7", "#e8743b", "#2da44e", "#bf5af2")
BASES: dict[str, tuple[str, ...]] = {
    "search": (),
    "methods": ("plain, 60 epochs", "plain, 240 epochs", "plain, smoothing, 60 epochs"),
    "noisy_methods": ("plain, 1 times", "plain, 4 times"),
    "label_noise": ("plain, searched", "plain, 4 times as long"),
    "few_labels": ("plain, as the first run's", "plain, searched", "plain, searched, 240 epochs"),
    "ensemble": ("plain", "plain, smoothing"),
}
"""Bases that the runs of each part are compared with, seed by seed; also those that begin so before a colon."""


def found(part: str) -> dict[str, dict[str, Runs]]:
    """Return a part's runs by regime and name."""
    parts: dict[str, dict[str, Runs]] = {}
    for key, runs in CELLS.known().items():
        of, regime, name = key.split(" | ")
        if of == part:
            parts.setdefault(regime, {})[name] = runs
    return parts


def named(runs: dict[str, Runs], name: str) -> Runs | None:
    """Return the runs of a name, or of the one that begins with it before a colon."""
    return next((own for key, own in runs.items() if key.partition(":")[0] == name), None)


def table(part: str, regime: str, runs: dict[str, Runs]) -> str:
    """Return one regime's table: accuracies, and the shipped network's difference from each base, paired by seed."""
    bases = [name for name in BASES[part] if named(runs, name)]
    group = ["mean of students", "ensemble"] if part != "ensemble" else []
    heads = [regime, "n", "shipped", *group, *(f"over {name}" for name in bases)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, own in runs.items():
        cells = [name, str(len(own)), spread(own, "shipped")]
        if group:
            several = "ensemble" in next(iter(own.values()))
            cells += [spread(own, figure) if several else "" for figure in ("students_mean", "ensemble")]
        for base in bases:
            against = named(runs, base)
            same = against is None or against is own or not set(own) & set(against)
            cells.append("" if same or against is None else over(own, against, "shipped"))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def show(parts: Sequence[str] = tuple(BASES)) -> None:
    """Print the tables of all finished runs."""
    for part in parts:
        for regime, runs in found(part).items():
            print(f"\n{part}\n\n{table(part, regime, runs)}")


def draw() -> None:
    """Draw the pictures of the pages; text stays text, without a background."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": "gallery",
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "savefig.transparent": True,
        "legend.frameon": False,
        "font.family": "sans-serif",
        "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
    }
    style |= dict.fromkeys(
        ("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color"), INK
    )
    IMAGES.mkdir(exist_ok=True)
    with plt.rc_context(style):
        for name, fill in {"label-noise": _noise, "few-labels": _few, "ensemble": _ensemble}.items():
            figure, axes = plt.subplots(figsize=(7.2, 8 if name == "ensemble" else 4), layout="constrained")
            fill(axes)
            axes.grid(axis="y", color=GRID, linewidth=0.6)
            axes.set_axisbelow(True)
            figure.savefig(IMAGES / f"{name}.svg", metadata={"Date": None})
            plt.close(figure)


def _mean(runs: Runs) -> tuple[float, float]:
    """Return the mean accuracy in percent, and half its 95 % interval."""
    mean, half, _ = interval(runs, "shipped", {seed: {"shipped": 0.0} for seed in runs})
    return mean, half


def _series(regimes: Mapping[str, dict[str, Runs]], labels: Mapping[str, str]) -> dict[str, list[Runs]]:
    """Return the runs of each line over all regimes, by its label; `labels` has these by the runs' names."""
    return {
        label: [own for runs in regimes.values() if (own := named(runs, name))]
        for name, label in labels.items()
    }


def _lines(axes: Any, places: Sequence[float], series: dict[str, list[Runs]], step: float) -> None:
    """Draw accuracies against places, side by side so that intervals do not hide each other."""
    for at, (label, runs) in enumerate(series.items()):
        means = [_mean(own) for own in runs]
        shift = (at - (len(series) - 1) / 2) * step
        axes.errorbar(
            [place + shift for place in places[: len(means)]],
            [mean for mean, _ in means],
            yerr=[half for _, half in means],
            label=label,
            color=COLOURS[at],
            marker="o",
            markersize=4,
            linewidth=1.6,
            capsize=2.5,
        )
    axes.set_ylabel("right on 897 test rows, %")
    axes.legend()


def _noise(axes: Any) -> None:
    regimes = found("label_noise")
    labels = {
        "plain, as without noise": "plain, 60 epochs",
        "plain, searched": "plain, searched",
        "dml, searched": "dml, searched",
        "multi_instance, searched": "multi_instance, searched",
        "self_distillation, searched": "self_distillation, searched",
    }
    shares = [float(regime.split(", ")[1].split()[0]) for regime in regimes]
    _lines(axes, shares, _series(regimes, labels), step=0.7)
    axes.set_xticks(shares)
    axes.set_xlabel("wrong labels among 400, %")
    axes.legend(loc="lower left")


def _few(axes: Any) -> None:
    regimes = found("few_labels")
    labels = {
        "plain, as the first run's": "plain, no handling",
        "plain, searched": "plain, searched",
        "plain, searched, 240 epochs": "plain, searched, 240 epochs",
        "dml, searched": "dml, searched: the student that ships",
    }
    rows = [math.log2(float(regime.split()[0])) for regime in regimes]
    _lines(axes, rows, _series(regimes, labels), step=0.05)
    axes.set_xticks(rows, [regime.split()[0] for regime in regimes])
    axes.set_xlabel("labelled rows")


def _ensemble(axes: Any) -> None:
    ((_, runs),) = found("ensemble").items()
    names = [name for name in reversed(runs) if "averaged" not in name]
    for place, name in enumerate(names):
        mean, half = _mean(runs[name])
        colour = COLOURS[2] if "distilled" in name else COLOURS[0] if name.startswith("plain") else COLOURS[1]
        axes.errorbar(mean, place, xerr=half, color=colour, marker="o", capsize=2.5)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("right on 897 test rows, %")
    axes.axvline(statistics.mean(100 * run["shipped"] for run in runs["plain"].values()), color=GRID)
