"""Run folders of `studygroup train`: scores, cost, curves, and how to load the network and repeat the run."""

import functools
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from studygroup.report.axes import EPOCHS, Axis, View, over_each
from studygroup.report.by_class import ByClass, by_class
from studygroup.report.drawing import DASHES, INK, Plot, colour, figure_with_axes, legend, svg
from studygroup.report.marks import Mark
from studygroup.training.describe import ScoreRow, cost_rows, describe_noise, score_header, score_table
from studygroup.training.export import loading_lines
from studygroup.training.folder import RunFolder
from studygroup.training.history import EpochRow, read_history
from studygroup.training.summary import Summary
from studygroup.training.verdict import Outcome, baseline_verdict

_SIGNS = {
    Outcome.AHEAD: ("ahead", Mark.BETTER),
    Outcome.BEHIND: ("behind", Mark.WORSE),
    Outcome.OPEN: ("open", Mark.OPEN),
}


class Lines(NamedTuple):
    """Columns of a history that share a label and a style.

    Attributes:
        label: their label.
        points: places on the axis and values of each column.
        style: arguments of matplotlib's `plot`.
    """

    label: str
    points: Sequence[tuple[Sequence[float], Sequence[float]]]
    style: Mapping[str, Any]


def run_plots(
    rows: Sequence[EpochRow], plain: Sequence[EpochRow], students: int, axis: Axis = EPOCHS
) -> list[Plot]:
    """Plot the history of a run over an axis, one row per epoch, with the baseline's, which may be empty."""
    several = students > 1
    plot = functools.partial(_plot, axis=axis)
    lines = functools.partial(_lines, axis=axis)
    named = functools.partial(_named, axis=axis)

    def each(values: Callable[[EpochRow], Sequence[float]]) -> list[Lines]:
        thin: dict[str, Any] = {"linewidth": 0.9, "alpha": 0.55} if several else {}
        return lines(rows, values, "each student" if several else "the network", color=colour(0), **thin)

    def baseline(values: Callable[[EpochRow], Sequence[float]]) -> list[Lines]:
        return lines(plain, values, "plain baseline", color=colour(1), linestyle=DASHES[1])

    def supervised(row: EpochRow) -> Sequence[float]:
        return row.supervised

    def holdout(row: EpochRow) -> Sequence[float]:
        return row.holdout

    charts = [
        plot("Supervised loss", [*each(supervised), *baseline(supervised)]),
        plot("Learning rate", lines(rows, lambda row: [row.lr], "learning rate", color=colour(2))),
        plot("Further losses", named(rows, lambda row: row.objectives)),
        plot("The imitation rule's own figures", named(rows, lambda row: row.teachers)),
    ]
    accuracy = [*each(holdout), *baseline(holdout)]
    if several:
        accuracy += lines(rows, lambda row: [row.ensemble], "ensemble", color=INK)
        distance = "mean L2 distance of probabilities"
        weights = lines(rows, lambda row: [row.imitation_weight], "weight", color=colour(2))
        charts[1:1] = [
            plot("Imitation loss", each(lambda row: row.imitation)),
            plot("Diversity on the hold-out rows", lines(rows, lambda row: [row.diversity], distance)),
            plot("Imitation weight", weights),
        ]
    return [made for made in (plot("Hold-out accuracy", accuracy, percent=True), *charts) if made]


def _plot(title: str, groups: Sequence[Lines], *, axis: Axis, percent: bool = False) -> Plot | None:
    """Plot groups of lines; None where there are none."""
    if not groups:
        return None
    scale, unit, said = 100 if percent else 1, " %" if percent else "", []
    with figure_with_axes(height=250) as (figure, (axes,)):
        for label, points, style in groups:
            for number, (x, y) in enumerate(points):
                name: dict[str, Any] = {"label": label} if number == 0 else {}
                marker = "o" if len(x) == 1 else ""
                axes.plot(x, [scale * value for value in y], marker=marker, **style, **name)
            ends = dict.fromkeys(f"{scale * end:.4g}" for end in sorted(y[-1] for _, y in points))
            said.append(f"{label}: {' to '.join([*ends][:: max(len(ends) - 1, 1)])}{unit} at the end")
        axes.set_xlabel(axis.label)
        axes.set_ylabel(unit.strip())
        legend(figure)
        words = f"{title} over {axis.words}. {'; '.join(said)}."
        return Plot(title, words, svg(figure, words))


def _lines(
    rows: Sequence[EpochRow],
    values: Callable[[EpochRow], Sequence[float]],
    label: str,
    *,
    axis: Axis,
    **style: Any,
) -> list[Lines]:
    """Return figures as lines over the epochs with a finite value; none where there are no such epochs."""
    points, places = [], axis.at(rows)
    for number in range(max((len(values(row)) for row in rows), default=0)):
        own = [
            (at, found) for at, row in zip(places, rows, strict=True) if number < len(found := values(row))
        ]
        pairs = [(at, found[number]) for at, found in own if math.isfinite(found[number])]
        if pairs:
            points.append(([x for x, _ in pairs], [y for _, y in pairs]))
    return [Lines(label, points, {"color": colour(0), **style})] if points else []


def _named(
    rows: Sequence[EpochRow], values: Callable[[EpochRow], Mapping[str, float]], *, axis: Axis
) -> list[Lines]:
    """Return figures with names as lines, each with its own label."""
    found: list[Lines] = []
    for number, name in enumerate(dict.fromkeys(name for row in rows for name in values(row))):

        def one(row: EpochRow, name: str = name) -> Sequence[float]:
            return [values(row).get(name, math.nan)]

        style = {"color": colour(number), "linestyle": DASHES[number % len(DASHES)]}
        found += _lines(rows, one, name, axis=axis, **style)
    return found


class Box(NamedTuple):
    """The verdict of a run as the page shows it.

    Attributes:
        kind: its class in the style sheet.
        sign: its mark, which tells verdicts apart where colours do not.
        outcome: the verdict in a few words.
        words: the numbers behind it.
    """

    kind: str
    sign: str
    outcome: str
    words: str


@dataclass(frozen=True)
class Single:
    """One run.

    Attributes:
        name: name of its folder.
        title: recipe and data.
        facts: network, epochs, rows, seed, choice.
        verdict: the comparison with its baseline; None without one.
        noise: the noise on its labels; may be empty.
        test_rows: number of rows that were scored.
        scores: rows below `score_header`.
        score_head: header of the scores.
        by_class: answers by class; None where they were not recorded.
        costs: rows below `cost_head`; empty where nothing was measured.
        cost_head: header of the costs.
        views: curves over each axis that was recorded, epochs first.
        loading: lines of Python that load the shipped network.
        again: the command that repeats the run.
        command: the command that started it.
        versions: versions of the packages it was made with.
    """

    name: str
    title: str
    facts: str
    verdict: Box | None
    noise: str
    test_rows: int
    scores: Sequence[ScoreRow]
    score_head: Sequence[str]
    by_class: ByClass | None
    costs: Sequence[Sequence[str]]
    cost_head: Sequence[str]
    views: Sequence[View]
    loading: str
    again: str
    command: str
    versions: Sequence[tuple[str, str]]


def single_title(folder: RunFolder) -> str:
    """Return recipe and data of a run."""
    run = folder.read_summary().run
    return f"{run.recipe} on {run.data}"


def single(folder: RunFolder) -> Single:
    """Read one finished run.

    Raises:
        ValueError: it is not finished, or its summary is damaged.
    """
    summary = folder.read_summary()
    run, shipped = summary.run, summary.shipped
    rows, plain = read_history(folder.metrics), read_history(folder.baseline.metrics)
    options = ", ".join(f"{k}={v}" for k, v in run.model.items() if k != "name")
    return Single(
        name=folder.path.resolve().name,
        title=single_title(folder),
        facts=(
            f"{run.students} student{'s' if run.students > 1 else ''} of {run.model['name']} ({options}), "
            f"{run.epochs} epochs, {run.updates:,} updates, {run.train_rows:,} rows, seed {run.seed}. Student "
            f"{shipped.student} after epoch {shipped.epoch} ships, chosen by {shipped.rule} on "
            f"{summary.holdout.rows:,} held-out rows ({shipped.holdout:.2%} there)."
        ),
        verdict=_boxed(summary),
        noise=describe_noise(summary),
        test_rows=summary.test.rows,
        scores=score_table(summary),
        score_head=score_header(summary),
        by_class=by_class(folder, summary),
        costs=cost_rows(summary),
        cost_head=("", run.recipe, "baseline"),
        views=over_each([rows, plain], lambda axis: run_plots(rows, plain, run.students, axis)),
        loading=loading_lines(folder.weights, builder=dict(run.model)),
        again=f"studygroup train --config {shlex.quote(str(folder.config))} --run_dir ANOTHER_FOLDER",
        command=summary.command,
        versions=tuple(summary.versions.items()),
    )


def _boxed(summary: Summary) -> Box | None:
    found = baseline_verdict(summary)
    if found is None:
        return None
    kind, mark = _SIGNS[found.outcome]
    return Box(kind, mark.value, found.outcome.value, found.words)
