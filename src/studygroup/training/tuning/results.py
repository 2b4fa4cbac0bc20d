"""The results of a study: its trials as rows and as a table, and the best configuration as a file."""

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from studygroup.files import write_text
from studygroup.training.dotted import with_values
from studygroup.training.tuning.space import Space
from studygroup.training.tuning.study import latest, settled

Row = Mapping[str, Any]
_SHOWN = 10
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
    """Write `trials.json`, `trials.md` and, if a trial is finished, `best.yaml`."""
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
    """Render the trials as a Markdown table, the best first."""
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


@dataclass(frozen=True)
class Tuned:
    """The results of a study so far.

    Attributes:
        folder: holds `best.yaml`, `trials.json`, `trials.md` and the trials' folders.
        trials: one row per trial, see `rows`.
        seeds: seeds of every trial.
    """

    folder: Path
    trials: Sequence[Row]
    seeds: Sequence[int]

    @property
    def best(self) -> Row | None:
        """The best finished trial; None until one is finished."""
        return best(self.trials)

    @property
    def unfinished(self) -> int:
        """Number of trials that other processes are running, or were running when they were interrupted."""
        return sum(row["state"] in ("running", "interrupted") for row in self.trials)


def describe_study(tuned: Tuned) -> str:
    """Return the best trials, what their accuracy means, and the command that trains the best configuration."""
    counts = Counter(row["state"] for row in tuned.trials)
    names = list(dict.fromkeys(name for row in tuned.trials for name in row["values"]))
    lines = table(tuned.trials, names).splitlines()
    parts = [
        f"{len(tuned.trials)} trials: " + ", ".join(f"{n} {state}" for state, n in counts.items()) + "\n"
    ]
    parts += lines[: _SHOWN + 2]
    parts += [f"... and {len(lines) - _SHOWN - 2} more, in {tuned.folder / 'trials.md'}"] * (
        len(lines) > _SHOWN + 2
    )
    if tuned.unfinished:
        parts.append(
            f"\nIn the hands of other processes: {tuned.unfinished}. Should one have died, the same command finishes "
            "its trial: at once where\nit ran in this folder on this machine, else ten minutes after its last sign of"
            " life."
        )
    return "\n".join([*parts, *_best(tuned, finished=counts["finished"])])


def _best(tuned: Tuned, *, finished: int) -> list[str]:
    best = tuned.best
    if best is None:
        return ["\nNo trial is finished yet."]
    config = tuned.folder / "best.yaml"
    seeds = f"seed{'s' * (len(tuned.seeds) > 1)} {', '.join(map(str, tuned.seeds))}"
    other = next(number for number in count() if number not in tuned.seeds)
    options = ["--config", config, "--seed", other, "--run_dir", tuned.folder / f"best-{other}"]
    return [
        f"\nBest: trial {best['trial']}, {best['holdout']:.2%} of the hold-out rows right ({seeds}). It is the "
        f"highest of {finished} and was chosen for",
        "that, so it flatters. No test row has been scored. Train the best configuration anew, with seeds that the",
        f"search has not seen; that scores the test rows, once:\n\n  {_command('train', *options)}",
        f"\nSettings: {config}. All trials: {tuned.folder / 'trials.md'} and trials.json.",
    ]


def _command(*words: object) -> str:
    return shlex.join(["studygroup", *map(str, words)])
