"""An Optuna study that many processes share and that any of them may leave at any moment.

Optuna's storage is the only thing that they share. An interrupted trial stays behind as running, or as failed without
a reason; the next process queues its values again, and the new trial *continues* the old one. All trials with the
same origin count as one.
"""

import platform
import time
import warnings
from datetime import datetime, timedelta
from pathlib import Path

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from optuna.trial import BaseTrial, FrozenTrial, TrialState
from sqlalchemy.exc import DBAPIError

from studygroup.training.folder import try_lock

_BEAT, _SILENCE = 60, 600  # seconds between two heartbeats, and without one until a process counts as dead
_TRIES = 5
"""Interruptions without a further finished epoch after which a trial counts as failed: it may kill the process."""


def open_study(url: str, *, name: str, sampler: BaseSampler, pruner: BasePruner) -> optuna.Study:
    """Open a study; create it if it does not exist.

    Args:
        url: URL of the storage in SQLAlchemy's format.
        name: name of the study in it.
        sampler: draws the values.
        pruner: stops trials early.

    Raises:
        ValueError: the storage cannot be opened.
    """
    try:
        return optuna.create_study(
            storage=_connect(url),
            study_name=name,
            sampler=sampler,
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


def origin(trial: BaseTrial) -> int:
    """Return the number of the trial that this one continues, through all interruptions; else its own."""
    number: int = trial.user_attrs.get("continues", trial.number)
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


def place(study: optuna.Study, trial: BaseTrial) -> int:
    """Return a trial's number among all, from 0; one that continues another has that one's."""
    return len({origin(other) for other in study.get_trials(deepcopy=False) if origin(other) < origin(trial)})


def requeue(study: optuna.Study, *, trials: int, folder: Path) -> None:
    """Queue the values of interrupted trials again.

    Args:
        study: holds all trials.
        trials: the number of trials asked for; interrupted ones beyond it are left alone.
        folder: holds this process's trials.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)  # those without a heartbeat, on any machine
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if _is_left(trial, trial_folder(folder, place(study, trial))):
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
    for number, trial in enumerate(latest(study)[:trials]):
        if trial.state == TrialState.FAIL and not settled(trial) and _free(trial_folder(folder, number)):
            _queue(study, trial)


def _is_left(trial: FrozenTrial, folder: Path) -> bool:
    """Tell whether a running trial's process is certainly gone."""
    if "host" not in trial.user_attrs:  # its process had no time to identify itself
        begun = trial.datetime_start
        return begun is None or datetime.now() - begun > timedelta(seconds=_SILENCE)
    if any(trial.user_attrs[name] != value for name, value in sign(folder).items()):
        return False  # on another machine or in another folder: its heartbeat tells
    return _free(folder)


def _free(folder: Path) -> bool:
    """Tell whether no process on this machine works in a folder, not even one without heartbeats."""
    with try_lock(folder) as free:
        return free


def _queue(study: optuna.Study, trial: FrozenTrial) -> None:
    done = len(trial.intermediate_values)
    tries = 1 + trial.user_attrs.get("tries", 0) * (done <= trial.user_attrs.get("done", 0))
    again = {"continues": origin(trial), "tries": tries, "done": done}
    dead = tries >= _TRIES and {"error": f"interrupted {tries} times without finishing another epoch"}
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.FAIL if dead else TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=again | (dead or {}),
            system_attrs=trial.system_attrs,  # where a grid's sampler stores the grid point
        )
    )


def trial_folder(folder: Path, number: int) -> Path:
    """Return the folder of the trial with a place, see `place`."""
    return folder / f"trial-{number:04d}"


def sign(folder: Path) -> dict[str, str]:
    """Return what identifies the processes on this machine that work in a folder."""
    return {"host": platform.node(), "folder": str(folder.resolve())}
