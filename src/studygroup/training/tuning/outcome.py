"""The results of a study: its trials as rows and as a table, and the best configuration as a file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from studygroup.files import write_text
from studygroup.training.tuning.space import Space, with_values
from studygroup.training.tuning.study import latest, settled

Row = Mapping[str, Any]
_STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "interrupted",
}


def rows(study: optuna.Study, space: Space, *, trials: int) -> list[Row]:
    """Return one row per trial, in the order in which they were begun.

    Args:
        study: holds all trials.
        space: the search space.
        trials: the number of trials asked for; of those beyond it, only the settled ones are returned.

    Returns:
        `trial` (its number), `state` (finished, pruned, failed, running or interrupted), `holdout` (accuracy in
        [0, 1], mean over seeds; None unless finished), `holdout_seeds` (of every finished seed), `epochs` (done, over
        all seeds), `last` (the mean accuracy after the last of them), `values` by name, `same_as` (the trial whose
        accuracy was taken because it had the same values), `error` (why it failed).
    """
    found = enumerate(latest(study))
    return [_row(number, trial, space) for number, trial in found if number < trials or settled(trial)]


def _row(number: int, trial: FrozenTrial, space: Space) -> Row:
    done = sorted(trial.intermediate_values)
    failed = "failed" if settled(trial) else "interrupted"
    return {
        "trial": number,
        "state": _STATES.get(trial.state, failed),
        "holdout": trial.value if trial.state == TrialState.COMPLETE else None,
        "holdout_seeds": trial.user_attrs.get("holdout", []),
        "epochs": len(done),
        "last": trial.intermediate_values[done[-1]] if done else None,
        "values": {
            name: axis.value(trial.params[name]) for name, axis in space.axes.items() if name in trial.params
        },
        "same_as": trial.user_attrs.get("as"),
        "error": trial.user_attrs.get("error"),
    }


def best(found: Sequence[Row]) -> Row | None:
    """Return the finished trial with the highest hold-out accuracy, the first of equals; None if none is finished."""
    finished = [row for row in found if row["state"] == "finished"]
    return max(finished, key=lambda row: row["holdout"], default=None)


def write(folder: Path, found: Sequence[Row], space: Space, *, seeds: Sequence[int]) -> None:
    """Write `trials.json`, `trials.md` and, if a trial is finished, `best.yaml`.

    Args:
        folder: receives the files.
        found: the trials.
        space: the search space.
        seeds: seeds of every trial.
    """
    write_text(folder / "trials.json", json.dumps(found, indent=2) + "\n")
    write_text(folder / "trials.md", table(found, list(space.axes)) + "\n" + _NOTE)
    top = best(found)
    if top is not None:
        config = with_values(space.base, top["values"])
        said = (
            f"# Trial {top['trial']} of {len(found)}: {top['holdout']:.2%} of the hold-out rows right "
            f"(mean over seeds {list(seeds)}).\n"
        )
        write_text(folder / "best.yaml", said + yaml.safe_dump(config, sort_keys=False))


_NOTE = """Accuracy on the hold-out rows of the network that would ship, mean over seeds; no test row was scored. The
highest of many accuracies flatters: train the best configuration anew, with other seeds, before you report it.
"""


def table(found: Sequence[Row], names: Sequence[str]) -> str:
    """Render the trials as a Markdown table, the best first.

    Args:
        found: the trials.
        names: names of the settings that were searched.
    """
    lines = ["| trial | hold-out | " + " | ".join(names) + " | |", "|---" * (len(names) + 3) + "|"]
    ranked = sorted(found, key=lambda row: (row["holdout"] is None, -(row["holdout"] or row["last"] or 0)))
    for row in ranked:
        values = " | ".join(_text(row["values"].get(name, "")) for name in names)
        accuracy = "" if row["holdout"] is None else f"{row['holdout']:.2%}"
        lines.append(f"| {row['trial']} | {accuracy} | {values} | {remark(row)} |")
    return "\n".join(lines) + "\n"


def remark(row: Row) -> str:
    """Describe how a trial ended; empty for one that was trained to its end."""
    if row["state"] == "finished":
        return "" if row["same_as"] is None else f"same values as trial {row['same_as']}, not trained again"
    if row["state"] == "failed":
        return f"failed: {str(row['error']).splitlines()[0][:160]}"
    at = f", {row['last']:.2%}" if row["last"] is not None else ""
    return f"{row['state']} after {row['epochs']} epoch{'s' * (row['epochs'] != 1)}{at}"


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
