"""Work on a study until no trial is left to begin; any number of processes may do so at once."""

import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from studygroup.training.tuning import outcome
from studygroup.training.tuning.outcome import Row
from studygroup.training.tuning.study import latest, place, requeue, settled, trial_folder
from studygroup.training.tuning.trial import FAILURES, GaveWayError, Objective

_SHOWN = 10


@dataclass(frozen=True)
class Tuned:
    """The results of a study so far.

    Attributes:
        folder: holds `best.yaml`, `trials.json`, `trials.md` and the trials' folders.
        trials: one row per trial, see `studygroup.training.tuning.outcome.rows`.
        seeds: seeds of every trial.
    """

    folder: Path
    trials: Sequence[Row]
    seeds: Sequence[int]

    @property
    def best(self) -> Row | None:
        """The best finished trial; None until one is finished."""
        return outcome.best(self.trials)

    @property
    def unfinished(self) -> int:
        """Number of trials that other processes are running, or were running when they were interrupted."""
        return sum(row["state"] in ("running", "interrupted") for row in self.trials)


def work(study: optuna.Study, objective: Objective) -> Tuned:
    """Run trials until as many have begun as asked for.

    Args:
        study: shared with other processes.
        objective: trains and scores a trial.

    Raises:
        ValueError: the first trial's values do not fit the settings, or no trial finished.
    """
    tuned = keep(study, objective)
    while _step(study, objective):
        tuned = keep(study, objective)
    if tuned.best is None and not tuned.unfinished:
        said = "\n".join(f"  trial {row['trial']} {outcome.remark(row)}" for row in tuned.trials)
        raise ValueError(f"no trial is finished; widen or move the search, in another --run_dir:\n{said}")
    return tuned


def _step(study: optuna.Study, objective: Objective) -> bool:
    """Run a trial, if one is left to begin or to continue, and tell whether there was one."""
    with objective.drawing:
        requeue(study, trials=objective.trials, folder=objective.folder)
        found = latest(study)
        if len(found) >= objective.trials and all(trial.state != TrialState.WAITING for trial in found):
            return False
        ended = any(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in found)
        # a ValueError is one trial's failure only once others have shown that the rest of the settings works
        catch = tuple(error for error in FAILURES if ended or error is not ValueError)
        study.optimize(
            objective,
            n_trials=1,
            catch=(*catch, GaveWayError),
            callbacks=[lambda _, trial: _say(study, trial, objective)] if objective.progress_bar else [],
        )
    return True


def _say(study: optuna.Study, trial: FrozenTrial, objective: Objective) -> None:
    """Print how the trial went, and which is best so far."""
    rows = outcome.rows(study, objective.space, trials=objective.trials)
    if not settled(trial):
        return  # it gave way
    own = next(row for row in rows if row["trial"] == place(study, trial))
    best = outcome.best(rows)
    so_far = f"; best: trial {best['trial']}, {best['holdout']:.2%}" if best else ""
    score = "" if own["holdout"] is None else f"hold-out {own['holdout']:.2%}"
    went = ", ".join(filter(None, (score, outcome.remark(own))))
    print(f"trial {own['trial']}: {went}{so_far}", file=sys.stderr, flush=True)


def keep(study: optuna.Study, objective: Objective) -> Tuned:
    """Write the results so far and delete the checkpoints of trials that have ended.

    Args:
        study: holds all trials.
        objective: knows the search space and the trials' folder.
    """
    rows = outcome.rows(study, objective.space, trials=objective.trials)
    outcome.write(objective.folder, rows, objective.space, seeds=objective.seeds)
    for number in (row["trial"] for row in rows if row["state"] in ("finished", "pruned", "failed")):
        for checkpoints in trial_folder(objective.folder, number).glob("seed-*/checkpoints"):
            shutil.rmtree(checkpoints, ignore_errors=True)  # another process may be deleting them, too
    return Tuned(objective.folder, rows, objective.seeds)


def describe_study(tuned: Tuned) -> str:
    """Return the best trials, what their accuracy means, and the command that trains the best configuration.

    Args:
        tuned: the result of `tune`.
    """
    counts = Counter(row["state"] for row in tuned.trials)
    names = list(dict.fromkeys(name for row in tuned.trials for name in row["values"]))
    lines = outcome.table(tuned.trials, names).splitlines()
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
