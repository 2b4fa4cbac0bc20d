"""The closing text of a run in the terminal."""

from collections.abc import Mapping

from studygroup.training.first_run import OVER_SEEDS, is_first_run
from studygroup.training.noise import noise_words
from studygroup.training.run import Result
from studygroup.training.ship import loading_lines
from studygroup.training.tables import costs, score_head, scores, short, text, verdict


def closing_words(result: Result) -> str:
    """Return the closing text: scores, cost, the plain network's path, the lines that load it, and a short result.

    Args:
        result: the result of `train`.
    """
    summary, folder = result.summary, result.folder
    run, shipped = summary["run"], summary["shipped"]
    parts = [f"The run in {folder.path} is finished; nothing was done."] if result.resumed_finished else []
    parts.append(f"Test set of {run['data']}, {summary['test']['rows']} rows, scored after the choice:")
    head = score_head(summary)
    parts.append(text([head, *scores(summary)] if len(head) > 2 else scores(summary)))
    parts.append(
        f"Student {shipped['student']} ships: {'the leader' if shipped['leads'] else 'best'} on "
        f"{summary['holdout']['rows']} held-out rows ({shipped['holdout']:.2%}) "
        + ("at the last epoch." if shipped["select"] == "last" else "over all epochs.")
    )
    parts += [said for said in (noise_words(summary), _speed(run.get("texts", {}))) if said]
    cost = costs(summary)
    if cost:
        parts.append("\nCost of training:")
        parts.append(text([("", run["recipe"], "baseline"), *cost]))
    lines = loading_lines(folder.weights, builder=dict(run["model"]))
    parts.append(f"\nThe plain network lies in {folder.weights}; load it with\n")
    parts.append("\n".join(f"  {line}" for line in lines.splitlines()))
    parts.append(f"\nIn short, on {summary['test']['rows']} test rows:")
    parts.append(text(short(summary)))
    parts += [verdict(summary)] if summary["baseline"] else []
    parts += [OVER_SEEDS] if is_first_run(folder.read_config()) else []
    return "\n".join(parts)


def _speed(texts: Mapping[str, float]) -> str:
    """Describe the training speed on texts; empty for pictures."""
    if not texts:
        return ""
    return f"{texts['tokens_per_second']:,.0f} tokens a second, beside {texts['padding']:.1%} padding."
