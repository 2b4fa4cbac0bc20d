"""Run folders of `studygroup train`, with the tables and charts of their own reports."""

from collections.abc import Sequence
from dataclasses import dataclass

import markupsafe

from studygroup.training.folder import RunFolder
from studygroup.training.history import read_history
from studygroup.training.report.page import charts
from studygroup.training.tables import costs, html, score_head, scores, verdict


@dataclass(frozen=True)
class Single:
    """One run.

    Attributes:
        name: of its folder.
        title: recipe and data.
        facts: network, epochs, rows, seed.
        said: the comparison with its baseline in one sentence; may be empty.
        scores: table, as HTML.
        costs: likewise; empty where nothing was measured.
        charts: curves, as HTML.
        command: that started it.
        versions: that it was made with.
    """

    name: str
    title: str
    facts: str
    said: str
    scores: markupsafe.Markup
    costs: markupsafe.Markup
    charts: markupsafe.Markup
    command: str
    versions: Sequence[tuple[str, str]]


def single(folder: RunFolder) -> Single:
    """Reads one run.

    Args:
        folder: of a finished run.

    Raises:
        ValueError: it is not finished, or its summary is damaged.
    """
    summary = folder.read_summary()
    run, shipped, cost = summary["run"], summary["shipped"], costs(summary)
    plain = read_history(folder.baseline.metrics) if folder.baseline.metrics.exists() else []
    return Single(
        name=folder.path.resolve().name,
        title=f"{run['recipe']} on {run['data']}",
        facts=(
            f"{run['students']} student(s) of {run['model']['name']}, {run['epochs']} epochs, "
            f"{run['updates']:,} updates, {run['train_rows']:,} rows, seed {run['seed']}. "
            f"Student {shipped['student']} after epoch {shipped['epoch']} ships."
        ),
        said=verdict(summary),
        # these escape what they are given
        scores=markupsafe.Markup(html(scores(summary), head=score_head(summary))),
        costs=markupsafe.Markup(html(cost, head=("", run["recipe"], "baseline")) if cost else ""),
        charts=markupsafe.Markup(charts(read_history(folder.metrics), plain, run["students"])),
        command=summary["command"],
        versions=tuple(summary["versions"].items()),
    )
