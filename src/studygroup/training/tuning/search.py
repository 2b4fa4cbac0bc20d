"""Search for settings with Optuna: trials train, are scored on the hold-out rows alone, and survive a kill."""

import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from filelock import FileLock
from optuna.pruners import NopPruner
from optuna.trial import FrozenTrial, TrialState

from studygroup.training.cluster import Place, check_place, on_ray
from studygroup.training.config import Config, check_same
from studygroup.training.grid import in_processes, say
from studygroup.training.processes import check_one_process
from studygroup.training.settings import RESULT_STAYS, Settings
from studygroup.training.tuning import results
from studygroup.training.tuning.results import Tuned
from studygroup.training.tuning.space import read_space
from studygroup.training.tuning.study import (
    answering,
    latest,
    median_pruner,
    open_study,
    place,
    queue_next,
    samplers,
    settled,
    trial_folder,
)
from studygroup.training.tuning.trial import FAILURES, GaveWayError, Objective
from studygroup.untrusted import check_tree

_TRIALS = 30


def tune(
    settings: Settings | None = None,
    *,
    search: dict[str, Any],
    trials: int | None = None,
    sampler: Literal["tpe", "grid"] = "tpe",
    sampler_seed: int = 0,
    prune: bool | Literal["auto"] = "auto",
    seeds: Sequence[int] = (),
    run_dir: str | Path = "runs/tune",
    storage: str | None = None,
    study: str = "studygroup",
    jobs: int | None = None,
    on: Place = "here",
    cluster: dict[str, Any] | None = None,
    progress_bar: bool = True,
) -> Tuned:
    """Search for the settings with the best accuracy on the hold-out rows; the test rows are not scored.

    Called again with the same arguments it resumes, also after a kill: finished trials count, and an interrupted one
    continues from its checkpoint. Several processes, on one machine or many, may work on one study at the same time.

    Example:
        >>> tuned = tune(Settings(epochs=5), search={"optimizer.lr": {"low": 1e-4, "high": 1e-2, "log": True}})
        >>> tuned.best["values"], tuned.folder / "best.yaml"

    Args:
        settings: all settings that are not searched; by default those of `Settings()`.
        search: settings by their names on the command line, each with a list of values or with a range:
            `{"optimizer.lr": {"low": 1e-4, "high": 1e-2, "log": true}, "recipe.temperature": [1.0, 2.0, 4.0]}`.
            A range may have a `step`; it holds whole numbers where its ends are whole and the setting is no fraction.
        trials: number of trials in all, pruned and failed ones included; by default 30, or the whole grid.
        sampler: `tpe`, which learns from the trials before, or `grid`, all combinations.
        sampler_seed: seed of the sampler's draws.
        prune: whether to end a trial that, after an epoch, is worse than the median of the trials before; `auto` is
            yes with `tpe`, no with `grid`. Pruning begins with the sixth trial, after a fifth of the epochs.
        seeds: every trial trains with each of them and counts by the mean; by default the configuration's own.
        run_dir: folder of the trials, the tables and `best.yaml`.
        storage: URL of a database for the study, such as `postgresql://user:password@host/name` for several machines;
            by default a SQLite file in `run_dir`.
        study: name of the study in the storage.
        jobs: number of simultaneous trials: here processes, of one thread each if there are several (omitted, 1);
            on a cluster a maximum (omitted, as many as fit).
        on: this machine (`here`), or a cluster of Ray that sees `run_dir` and the data (`ray`), a task for each
            trial. A trial whose machine is lost goes on from its checkpoint at another.
        cluster: options of Ray, such as `{"init": {"address": "auto"}, "task": {"num_gpus": 1}}`.
        progress_bar: whether to print what is tried and draw progress bars.

    Raises:
        ConfigurationChangedError: the study was begun with other settings, another search, sampler or seeds.
        RuntimeError: its storage can no longer be read or written, as where the disk is full; or one of several
            processes, or a task of the cluster, failed.
        ValueError: the search does not fit the settings, the storage cannot be opened, no trial finished, or Ray is
            missing or refuses what is in `cluster`.
    """
    check_place(on, cluster, jobs)
    options = _Options(
        settings or Settings(),
        search,
        trials,
        sampler,
        sampler_seed,
        prune,
        tuple(seeds),
        Path(run_dir),
        storage,
        study,
    )
    if on == "here":  # a cluster's machines are asked in their own tasks
        options.settings.check_here()
    with _opened(options, progress_bar=progress_bar) as (opened, objective):
        _keep(opened, objective)
        if on == "ray":
            _hand_out(options, opened, objective, jobs=jobs, cluster=cluster or {})
        elif jobs is not None and jobs > 1:
            in_processes(_run_trials, options, count=jobs)
        else:
            while _step(opened, objective):
                _keep(opened, objective)
        tuned = _keep(opened, objective)
    if tuned.best is None and not tuned.unfinished:
        said = "\n".join(f"  trial {row['trial']} {results.remark(row)}" for row in tuned.trials)
        raise ValueError(f"no trial is finished; widen or move the search, in another --run_dir:\n{said}")
    return tuned


@dataclass(frozen=True)
class _Options:
    """The arguments of `tune` that say what is searched, and where it is kept."""

    settings: Settings
    search: dict[str, Any]
    trials: int | None
    sampler: Literal["tpe", "grid"]
    sampler_seed: int
    prune: bool | Literal["auto"]
    seeds: tuple[int, ...]
    run_dir: Path
    storage: str | None
    study: str


@dataclass(frozen=True)
class _OneTrial:
    """The next trial as a piece of work for a cluster, whichever it is by then."""

    options: _Options
    number: int
    folder: None = None  # a trial takes its own

    def __str__(self) -> str:
        return f"task {self.number}"

    @property
    def name(self) -> str:
        return f"task-{self.number:04d}"

    def __call__(self) -> None:
        self.options.settings.check_here()
        with _opened(self.options, progress_bar=True) as (study, objective):
            if _step(study, objective):
                _keep(study, objective)


@contextmanager
def _opened(options: _Options, *, progress_bar: bool) -> Iterator[tuple[optuna.Study, Objective]]:
    """Open the study, or begin it; see `tune` for the errors."""
    settings = options.settings
    check_one_process(settings, of="tune")
    seeds = list(options.seeds) or [settings.seed]
    grid = options.sampler == "grid"
    space = read_space(settings, options.search)
    space = space.grid() if grid else space
    trials = _how_many(options.trials, seeds, whole=space.size() if grid else None)
    draws = samplers(options.sampler, space, seed=options.sampler_seed)
    pruned = not grid if options.prune == "auto" else options.prune
    begun = space.base | {"search": json.loads(json.dumps(options.search)), "seeds": seeds}
    begun |= {"sampler": options.sampler, "sampler_seed": options.sampler_seed}
    folder, storage = options.run_dir, options.storage
    check_tree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    objective = Objective(
        space, seeds, draws, folder, trials, FileLock(folder / ".drawing.lock"), progress_bar
    )
    with _quiet(), answering("--storage" if storage else str(folder / "study.db")):
        with objective.drawing:
            study = open_study(
                storage or f"sqlite:///{folder / 'study.db'}",
                name=options.study,
                pruner=median_pruner(settings.epochs) if pruned else NopPruner(),
            )
            _check_ours(study, begun, folder)
        if progress_bar:
            say(f"{trials} trials ({options.sampler}), searching\n{space}")
        yield study, objective


def _hand_out(
    options: _Options,
    study: optuna.Study,
    objective: Objective,
    *,
    jobs: int | None,
    cluster: Mapping[str, Any],
) -> None:
    """Hand out a task for each trial that is left, and again where some came to nothing, as long as others do not."""
    options = dataclasses.replace(options, run_dir=options.run_dir.absolute())
    before, left = objective.trials + 1, objective.trials - sum(map(settled, latest(study)))
    while 0 < left < before:
        tasks = [_OneTrial(options, number) for number in range(objective.trials - left, objective.trials)]
        on_ray(tasks, lambda *_: None, logs=options.run_dir / "jobs", jobs=jobs, cluster=cluster)
        before, left = left, objective.trials - sum(map(settled, latest(study)))


def _run_trials(options: _Options, *, progress_bar: bool = False) -> None:
    """Run trials, as one of several processes, until none is left to begin or to continue."""
    with _opened(options, progress_bar=progress_bar) as (study, objective):
        while _step(study, objective):
            _keep(study, objective)


def _step(study: optuna.Study, objective: Objective) -> bool:
    """Run a trial, if one is left to begin or to continue, and tell whether there was one."""
    with objective.drawing:
        if not queue_next(study, trials=objective.trials, folder=objective.folder):
            return False
        found = latest(study)
        ended = any(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in found)
        # a ValueError is one trial's failure only once others have shown that the rest of the settings works
        catch = tuple(error for error in FAILURES if ended or error is not ValueError)
        study.sampler = objective.samplers(len(found))
        study.optimize(
            objective,
            n_trials=1,
            catch=(*catch, GaveWayError),
            callbacks=[lambda _, trial: _say(study, trial, objective)] if objective.progress_bar else [],
        )
    return True


def _say(study: optuna.Study, trial: FrozenTrial, objective: Objective) -> None:
    """Print how the trial went, and which is best so far."""
    rows = results.rows(study, objective.space, trials=objective.trials)
    if not settled(trial):
        return  # it gave way
    own = next(row for row in rows if row["trial"] == place(study, trial.number))
    best = results.best(rows)
    so_far = f"; best: trial {best['trial']}, {best['holdout']:.2%}" if best else ""
    score = "" if own["holdout"] is None else f"hold-out {own['holdout']:.2%}"
    went = ", ".join(filter(None, (score, results.remark(own))))
    say(f"trial {own['trial']}: {went}{so_far}")


def _keep(study: optuna.Study, objective: Objective) -> Tuned:
    """Write the results so far and delete the checkpoints of trials that have ended."""
    rows = results.rows(study, objective.space, trials=objective.trials)
    results.write(objective.folder, rows, objective.space, seeds=objective.seeds)
    for number in (row["trial"] for row in rows if row["state"] in ("finished", "pruned", "failed")):
        for checkpoints in trial_folder(objective.folder, number).glob("seed-*/checkpoints"):
            shutil.rmtree(checkpoints, ignore_errors=True)  # another process may be deleting them, too
    return Tuned(objective.folder, rows, objective.seeds)


def _how_many(trials: int | None, seeds: Sequence[int], *, whole: int | None) -> int:
    """Return the number of trials; `whole` is the size of a grid."""
    if len(set(seeds)) < len(seeds) or (trials is not None and trials < 1):
        raise ValueError(f"trials={trials}, seeds={list(seeds)}; give at least one trial, and each seed once")
    if whole is None:
        return trials or _TRIALS
    return min(trials or whole, whole)


def _check_ours(study: optuna.Study, begun: Config, folder: Path) -> None:
    """Refuse a study that was begun with other settings, or a folder with trials of a study that is gone."""
    trials = study.get_trials(deepcopy=False)  # read first: another process may begin the study now
    there: Mapping[str, Any] | None = study.user_attrs.get("begun")
    if there is not None:
        where = f"the study {study.study_name!r} that the storage holds"
        other = "another --run_dir (or, in a --storage, another --study) for a new one"
        check_same(dict(there), begun, ignore=RESULT_STAYS, where=where, else_give=other)
        return
    stray = next(folder.glob("trial-*"), None)
    if stray or trials:
        raise ValueError(
            f"the study {study.study_name!r} is new, but {stray or 'its storage'} holds trials of something else; "
            "give another --run_dir or --study, or remove them"
        )
    study.set_user_attr("begun", begun)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Optuna's log; the search reports its own progress."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
