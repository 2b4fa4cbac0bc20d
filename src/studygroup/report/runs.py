"""Run folders of `studygroup train`: scores, cost, curves, and how to load the network and repeat the run."""

from collections.abc import Sequence
from dataclasses import dataclass

from studygroup.report.curves import run_plots
from studygroup.report.drawing import Plot
from studygroup.training.folder import RunFolder
from studygroup.training.history import read_history
from studygroup.training.noise import noise_words
from studygroup.training.ship import loading_lines
from studygroup.training.tables import costs, score_head, scores, verdict


@dataclass(frozen=True)
class Single:
    """One run.

    Attributes:
        name: name of its folder.
        title: recipe and data.
        facts: network, epochs, rows, seed, choice.
        said: the comparison with its baseline in one sentence, and the noise on its labels; may be empty.
        test_rows: number of rows that were scored.
        scores: rows below `score_head`.
        score_head: header of the scores.
        costs: rows below `cost_head`; empty where nothing was measured.
        cost_head: header of the costs.
        plots: curves.
        loading: lines of Python that load the shipped network.
        again: the command that repeats the run.
        command: the command that started it.
        versions: versions of the packages it was made with.
    """

    name: str
    title: str
    facts: str
    said: Sequence[str]
    test_rows: int
    scores: Sequence[Sequence[str]]
    score_head: Sequence[str]
    costs: Sequence[Sequence[str]]
    cost_head: Sequence[str]
    plots: Sequence[Plot]
    loading: str
    again: str
    command: str
    versions: Sequence[tuple[str, str]]


def single_title(folder: RunFolder) -> str:
    """Return recipe and data of a run."""
    run = folder.read_summary()["run"]
    return f"{run['recipe']} on {run['data']}"


def single(folder: RunFolder) -> Single:
    """Read one run.

    Args:
        folder: folder of a finished run.

    Raises:
        ValueError: it is not finished, or its summary is damaged.
    """
    summary = folder.read_summary()
    run, shipped = summary["run"], summary["shipped"]
    plain = read_history(folder.baseline.metrics) if folder.baseline.metrics.exists() else []
    options = ", ".join(f"{k}={v}" for k, v in run["model"].items() if k != "name")
    return Single(
        name=folder.path.resolve().name,
        title=single_title(folder),
        facts=(
            f"{run['students']} student(s) of {run['model']['name']} ({options}), {run['epochs']} epochs, "
            f"{run['updates']:,} updates, {run['train_rows']:,} rows, seed {run['seed']}. Student "
            f"{shipped['student']} after epoch {shipped['epoch']} ships, chosen by select={shipped['select']} on "
            f"{summary['holdout']['rows']:,} held-out rows ({shipped['holdout']:.2%} there)."
        ),
        said=[said for said in (verdict(summary), noise_words(summary)) if said],
        test_rows=summary["test"]["rows"],
        scores=scores(summary),
        score_head=score_head(summary),
        costs=costs(summary),
        cost_head=("", run["recipe"], "baseline"),
        plots=run_plots(read_history(folder.metrics), plain, run["students"]),
        loading=loading_lines(folder.weights, builder=dict(run["model"])),
        again=f"studygroup train --config {folder.config} --run_dir ANOTHER_FOLDER",
        command=summary["command"],
        versions=tuple(summary["versions"].items()),
    )
