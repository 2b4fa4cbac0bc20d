"""The figures of a finished run that are kept, all read in its folder."""

import itertools
from typing import Any

from studygroup.analysis.cost import parameters
from studygroup.papers.counting import built
from studygroup.training.folder import RunFolder
from studygroup.training.history import read_history
from studygroup.training.run import Result
from studygroup.training.settings import Settings


def figures(result: Result) -> dict[str, Any]:
    """What is kept of a run; accuracies are shares.

    `seconds` are those of the clock, `spent` those that runs can be compared by: of the processor, all threads added
    up, where it trained, of the clock on a GPU; None in runs that did not take them.

    All is read in the run folder: the figures of a run that was finished long ago can be renewed.

    Args:
        result: of a finished run.
    """
    summary, way = result.summary, curve(result.folder, device=result.summary["run"].get("device"))
    spent = way.get("spent")
    return {
        "holdout": summary["shipped"]["holdout"],
        "test": summary["shipped"]["test"],
        "test_top5": summary["shipped"]["test_top5"],
        "students_mean": summary["test"]["mean"],
        "ensemble": summary["test"]["ensemble"],
        "diversity": summary["test"]["diversity"],
        "updates": summary["run"]["updates"],
        "classes": len(summary["run"]["classes"]),
        "seconds": round(summary["run"]["training_seconds"], 1),
        "spent": spent[-1] if spent else None,
        "parameters": _parameters(result),
        "curve": way,
    }


def curve(folder: RunFolder, *, device: str | None) -> dict[str, list[float]]:
    """The way of a run, one value an epoch.

    Args:
        folder: of the run.
        device: type of the device that it was trained on; None where that is not known.

    Returns:
        `updates` so far, `holdout`, the students' mean accuracy as a share, and, where it is known, what is `spent`
        so far: seconds of the processor, or of the clock on a GPU.
    """
    rows = read_history(folder.metrics)
    clock = "cpu_seconds" if device == "cpu" else "seconds"
    found: dict[str, list[float]] = {
        "updates": [int(row["updates"]) for row in rows],
        "holdout": [round(row["holdout_mean"], 4) for row in rows],
    }
    if device is None or not all(clock in row for row in rows):
        return found
    return found | {"spent": [round(total, 1) for total in itertools.accumulate(row[clock] for row in rows)]}


def _parameters(result: Result) -> int:
    """In training, what does not ship included."""
    settings, facts = Settings.from_config(result.folder.read_config()), result.summary["run"]
    return parameters(built(settings.recipe, network=facts["model"], form=facts["form"], seed=settings.seed))
