"""The figures of a finished run that are kept, all read in its folder."""

from typing import Any

from reproduction.counting import built
from studygroup.analysis.convergence import way
from studygroup.analysis.cost import parameters
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
    summary = result.summary
    curve = way(result.folder.metrics, device=summary["run"].get("device"))
    spent = curve.get("spent")
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
        "curve": curve,
    }


def _parameters(result: Result) -> int:
    """In training, what does not ship included."""
    settings, facts = Settings.from_config(result.folder.read_config()), result.summary["run"]
    return parameters(built(settings.recipe, network=facts["model"], form=facts["form"], seed=settings.seed))
