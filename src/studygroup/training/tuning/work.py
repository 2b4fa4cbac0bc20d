"""Works at a study until nothing is left to begin; any number of processes may do so at once."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from studygroup.training.tuning import outcome
from studygroup.training.tuning.outcome import Row
from studygroup.training.tuning.study import latest, place, requeue, settled, trial_folder
from studygroup.training.tuning.trial import FAILURES, GaveWayError, Objective


@dataclass(frozen=True)
class Tuned:
    """What a study has found so far.

    Attributes:
        folder: holds `best.yaml`, `trials.json`, `trials.md` and the trials' folders.
        trials: one row a trial, see `studygroup.training.tuning.outcome.rows`.
        seeds: of every trial.
    """

    folder: Path
    trials: Sequence[Row]
    seeds: Sequence[int]

    @property
    def best(self) -> Row | None:
        """The best finished trial, None as long as none is finished."""
        return outcome.best(self.trials)

    @property
    def unfinished(self) -> int:
        """How many trials other processes have in hand, or had when they were interrupted."""
        return sum(row["state"] in ("running", "interrupted") for row in self.trials)


def work(study: optuna.Study, objective: Objective) -> Tuned:
    """Runs trials until as many are begun as there shall be.

    Args:
        study: shared with others.
        objective: trains and scores a trial.

    Raises:
        ValueError: the first trial's values do not fit the settings, or no trial has ended other than in failure.
    """
    tuned = keep(study, objective)
    while _step(study, objective):
        tuned = keep(study, objective)
    if tuned.best is None and not tuned.unfinished:
        said = "\n".join(f"  trial {row['trial']} {outcome.remark(row)}" for row in tuned.trials)
        raise ValueError(f"no trial is finished; widen or move the search, in another --run_dir:\n{said}")
    return tuned


def _step(study: optuna.Study, objective: Objective) -> bool:
    """Runs a trial, if one is left to begin or to continue."""
    with objective.drawing:
        requeue(study, trials=objective.trials, folder=objective.folder)
        found = latest(study)
        if len(found) >= objective.trials and all(trial.state != TrialState.WAITING for trial in found):
            return False
        ended = any(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in found)
        # a value that fits nothing is one trial's failure only once others have shown that the rest is sound
        catch = tuple(error for error in FAILURES if ended or error is not ValueError)
        study.optimize(
            objective,
            n_trials=1,
            catch=(*catch, GaveWayError),
            callbacks=[lambda _, trial: _say(study, trial, objective)] if objective.progress_bar else [],
        )
    return True


def _say(study: optuna.Study, trial: FrozenTrial, objective: Objective) -> None:
    """How the trial went, and which is best so far."""
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
    """Writes down what is found and drops the checkpoints of trials that have come to an end.

    Args:
        study: all trials.
        objective: knows what was searched, and where the trials lie.
    """
    rows = outcome.rows(study, objective.space, trials=objective.trials)
    outcome.write(objective.folder, rows, objective.space, seeds=objective.seeds)
    for number in (row["trial"] for row in rows if row["state"] in ("finished", "pruned", "failed")):
        for checkpoints in trial_folder(objective.folder, number).glob("seed-*/checkpoints"):
            shutil.rmtree(checkpoints, ignore_errors=True)  # another process may be at it, too
    return Tuned(objective.folder, rows, objective.seeds)
