"""An Optuna study that many processes share and that any of them may leave at any moment.

Optuna's storage is the only thing that they share, and its parts draw, prune, notice dead processes by their
heartbeat and retry what these left. A trial and all its retries count as one, at the place of the first. Beyond
that, a dead process of this machine is noticed at once, by the lock on the trial's folder; and a retry is given up
only where several in a row finished no further epoch.
"""

import copy
import json
import math
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import optuna
from optuna.pruners import BasePruner, MedianPruner
from optuna.samplers import BaseSampler, GridSampler, TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from studygroup import seeding
from studygroup.training.folder import try_lock
from studygroup.training.tuning.space import Space

_BEAT, _SILENCE = 60, 600  # seconds between two heartbeats, and without one until a process counts as dead
_CLAIM = 2.0  # seconds within which a process that takes a trial says so
_TRIES = 5
"""Interruptions without a further finished epoch after which a trial counts as failed: it may kill the process."""
_EARLY = (
    0.2  # share of the epochs in which nothing is pruned: learning rates and weights of losses still rise
)
Samplers = Callable[[int], BaseSampler]
"""Build the sampler of the trial at a place: a sampler with one seed for a whole process would repeat the same draws
in a process that starts later or runs beside it."""


def samplers(kind: str, space: Space, *, seed: int) -> Samplers:
    """Return what builds the samplers of a study.

    Args:
        kind: `tpe`, which learns from the trials before, or `grid`, all combinations, each once.
        space: the search space; for a grid, with a list of values on every axis.
        seed: the study's seed.
    """
    if kind == "grid":
        return lambda place: GridSampler(space.lists(), seed=seed)

    def tpe(place: int) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # stable since Optuna 5
            # numpy's generators take seeds of 32 bits; constant_liar keeps processes that draw at the same time from
            # drawing the same values
            return TPESampler(seed=seeding.derive(seed, "trial", place) % 2**32, constant_liar=True)

    return tpe


def median_pruner(epochs: int) -> BasePruner:
    """Return a pruner of trials worse than the median of those before at the same epoch; it spares the first five.

    Args:
        epochs: epochs of a trial; it is spared in the first fifth of them.
    """
    return MedianPruner(n_startup_trials=5, n_warmup_steps=math.ceil(_EARLY * epochs) + 1)


def open_study(url: str, *, name: str, pruner: BasePruner) -> optuna.Study:
    """Open a study; create it if it does not exist.

    Args:
        url: URL of the storage in SQLAlchemy's format.
        name: name of the study in it.
        pruner: stops trials early.

    Raises:
        ValueError: the storage cannot be opened.
    """
    try:
        return optuna.create_study(
            storage=_connect(url),
            study_name=name,
            pruner=pruner,
            direction="maximize",
            load_if_exists=True,
        )
    except Exception as error:  # SQLAlchemy and every driver have exceptions of their own
        shown = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        raise ValueError(
            f"the storage cannot be opened ({shown}); give --storage the URL of a database that is there, such as "
            "sqlite:///folder/study.db or postgresql://user:password@host/name, and install its driver"
        ) from error


@contextmanager
def answering(where: str) -> Iterator[None]:
    """Within the context, say in one line that a study's storage refuses to be read or written.

    Raises:
        RuntimeError: it does, as where the disk is full or its tables are damaged.
    """
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, json.JSONDecodeError) as error:
        found = error.__cause__ or error
        said = f"{type(found).__name__}: {str(found).splitlines()[0]}"
        raise RuntimeError(
            f"the study in {where} can no longer be read or written ({said:.200}): make room there, then give the "
            "same command again; where its tables are damaged, give another --run_dir"
        ) from error


def _connect(url: str, *, tries: int = 6) -> RDBStorage:
    """Connect to the storage and create its tables; retry if another process created the tables first."""
    # SQLite lets one process write at a time; the others wait this many seconds before they give up
    options = {"connect_args": {"timeout": 120}} if url.startswith("sqlite") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # the heartbeat
        try:
            return RDBStorage(url, engine_kwargs=options, heartbeat_interval=_BEAT, grace_period=_SILENCE)
        except (DBAPIError, optuna.exceptions.StorageInternalError):
            if tries == 1:
                raise
    time.sleep(0.3)
    return _connect(url, tries=tries - 1)


def origin(trial: FrozenTrial) -> int:
    """Return the number of the trial that this one retries, through all interruptions; else its own."""
    number: int = trial.system_attrs.get("failed_trial", trial.number)  # where Optuna's retry writes it
    return number


def settled(trial: FrozenTrial) -> bool:
    """Tell whether nothing is left to do for the trial."""
    failed = trial.state == TrialState.FAIL and "error" in trial.user_attrs
    return failed or trial.state in (TrialState.COMPLETE, TrialState.PRUNED)


def latest(study: optuna.Study) -> list[FrozenTrial]:
    """Return the decisive state of every trial by place: settled, else running or waiting, else last interrupted."""
    found: dict[int, FrozenTrial] = {}
    for trial in sorted(study.get_trials(deepcopy=False), key=_tells):
        found[origin(trial)] = trial
    return [found[number] for number in sorted(found)]


def _tells(trial: FrozenTrial) -> tuple[bool, bool, int]:
    return settled(trial), trial.state in (TrialState.RUNNING, TrialState.WAITING), trial.number


def place(study: optuna.Study, number: int) -> int:
    """Return a trial's place among all, from 0; a retry has that of the trial that it retries."""
    trials = study.get_trials(deepcopy=False)
    first = origin(trials[number])
    return len({origin(other) for other in trials if origin(other) < first})


def queue_next(study: optuna.Study, *, trials: int, folder: Path) -> bool:
    """Queue what is to be run next, and tell whether there is anything: an interrupted trial, else a new one.

    A trial is queued with the machine and folder that it is for, so that a process which dies while the trial begins
    is noticed.

    Args:
        study: holds all trials.
        trials: the number of trials asked for; interrupted ones beyond it are left alone.
        folder: holds this process's trials.
    """
    _fail_dead(study, folder)
    for number, trial in enumerate(latest(study)[:trials]):
        if trial.state == TrialState.FAIL and not settled(trial) and _is_free(trial_folder(folder, number)):
            _retry(study, trial, folder)
    found = latest(study)
    if any(trial.state == TrialState.WAITING for trial in found[:trials]):
        return True
    if len(found) >= trials:
        return False
    study.add_trial(create_trial(state=TrialState.WAITING, user_attrs=identity(folder)))
    return True


def _fail_dead(study: optuna.Study, folder: Path) -> None:
    """Mark the running trials of dead processes as failed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)  # those without a heartbeat, on any machine
    running = (TrialState.RUNNING,)
    fresh = datetime.now() - timedelta(seconds=_CLAIM)
    if any(
        not trial.params and trial.datetime_start is not None and trial.datetime_start > fresh
        for trial in study.get_trials(deepcopy=False, states=running)
    ):
        time.sleep(_CLAIM)  # it may have been taken by another machine, which has not said so yet
    for trial in study.get_trials(deepcopy=False, states=running):
        if _is_left(trial, trial_folder(folder, place(study, trial.number))):
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def _is_left(trial: FrozenTrial, folder: Path) -> bool:
    """Tell whether a running trial's process is certainly gone."""
    begun = trial.datetime_start or datetime.min
    if "host" not in trial.user_attrs:  # taken from another process's queue
        return datetime.now() - begun > timedelta(seconds=_SILENCE)
    if any(trial.user_attrs[name] != value for name, value in identity(folder.parent).items()):
        return False  # on another machine or in another folder: its heartbeat tells
    return _is_free(folder)


def _is_free(folder: Path) -> bool:
    """Tell whether no process on this machine works in a folder, not even one without heartbeats."""
    with try_lock(folder) as free:
        return free


def _retry(study: optuna.Study, trial: FrozenTrial, folder: Path) -> None:
    """Queue an interrupted trial again, by Optuna's own retry, unless it has been in vain too often."""
    trials, again = study.get_trials(deepcopy=False), copy.deepcopy(trial)
    history = [*again.system_attrs.get("retry_history", []), again.number]
    done = [len(trials[number].intermediate_values) for number in history]
    tries = 1
    while tries < len(done) and done[-tries] <= done[-tries - 1]:
        tries += 1
    if tries < _TRIES:
        again.user_attrs = identity(folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            RetryHeartbeatStaleTrialCallback()(study, again)
        return
    error = f"interrupted {tries} times without finishing another epoch"
    study.add_trial(
        create_trial(
            state=TrialState.FAIL,
            params=again.params,
            distributions=again.distributions,
            user_attrs={"error": error},
            system_attrs={"failed_trial": origin(again), **again.system_attrs},
        )
    )


def trial_folder(folder: Path, number: int) -> Path:
    """Return the folder of the trial with a place, see `place`."""
    return folder / f"trial-{number:04d}"


def identity(folder: Path) -> dict[str, str]:
    """Return what identifies the processes on this machine that work in a folder of trials."""
    return {"host": platform.node(), "folder": str(folder.resolve())}
