"""One trial: draw values, train with every seed, score the hold-out rows."""

import gc
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState

from studygroup.training.callbacks import NonFiniteLossError
from studygroup.training.export import reestimate_bn
from studygroup.training.fit import Trained, fit
from studygroup.training.folder import RunFolder, try_lock
from studygroup.training.scores import accuracy
from studygroup.training.settings import Settings, cpu_threads
from studygroup.training.tuning.pruning import Pruning
from studygroup.training.tuning.space import Space
from studygroup.training.tuning.study import place, sign, trial_folder

FAILURES = (NonFiniteLossError, torch.OutOfMemoryError, ValueError)
"""Errors that the values of a trial may be to blame for."""


class GaveWayError(Exception):
    """The trial belongs to another process, or is one more than asked for; nothing was done."""


@dataclass(frozen=True)
class Objective:
    """The objective that a study maximises: the hold-out accuracy of the network that would ship, mean over seeds.

    Test rows are not scored. A training in the trial's folder is resumed.

    Attributes:
        space: the search space.
        seeds: seeds of the trainings.
        folder: holds the trials' folders.
        trials: the number of trials asked for.
        drawing: lock that is held while a trial begins and released once its values are drawn.
        progress_bar: whether to print what is tried and draw progress bars.
    """

    space: Space
    seeds: Sequence[int]
    folder: Path
    trials: int
    drawing: FileLock
    progress_bar: bool

    def __call__(self, trial: optuna.Trial) -> float:
        """Return the mean accuracy in [0, 1].

        Args:
            trial: draws the values.

        Raises:
            TrialPruned: the trial has fallen behind.
            GaveWayError: the trial is not this process's to run.
        """
        number = place(trial.study, trial)
        folder = trial_folder(self.folder, number)
        if number >= self.trials:
            raise GaveWayError
        with try_lock(folder) as free:
            if not free:
                raise GaveWayError
            values = self._begin(trial, number, folder)
            try:
                return self._mean(trial, values, folder)
            except FAILURES as error:
                trial.set_user_attr("error", f"{type(error).__name__}: {error}")
                if isinstance(error, ValueError):
                    raise ValueError(f"trial {number} ({named(values)}): {error}") from error
                raise

    def _begin(self, trial: optuna.Trial, number: int, folder: Path) -> dict[str, Any]:
        """Draw the values and record whose trial it is; then others may draw."""
        for name, value in sign(folder).items():
            trial.set_user_attr(name, value)
        values = {name: axis.draw(trial, name) for name, axis in self.space.axes.items()}
        self.drawing.release()
        if self.progress_bar:
            again = " goes on" if "continues" in trial.user_attrs else ""
            print(f"trial {number}{again}: {named(values)}", file=sys.stderr, flush=True)
        return values

    def _mean(self, trial: optuna.Trial, values: Mapping[str, Any], folder: Path) -> float:
        twin = _twin(trial)
        if twin is not None:
            trial.set_user_attr("as", place(trial.study, twin))
            trial.set_user_attr("holdout", twin.user_attrs["holdout"])
            return statistics.fmean(twin.user_attrs["holdout"])
        done: list[float] = []
        for seed in self.seeds:
            settings = self.space.settings(values, seed=seed)
            pruning = Pruning(trial, before=done, epochs=settings.epochs)
            run = RunFolder(folder / f"seed-{seed}")
            done.append(holdout_accuracy(settings, run, pruning, progress_bar=self.progress_bar))
            trial.set_user_attr("holdout", done)
        return statistics.fmean(done)


def _twin(trial: optuna.Trial) -> FrozenTrial | None:
    """Return a finished trial with the same values, which would reach the same accuracy again; None without one."""
    finished = trial.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return next((other for other in finished if other.params == trial.params), None)


def holdout_accuracy(settings: Settings, folder: RunFolder, pruning: Pruning, *, progress_bar: bool) -> float:
    """Train, or resume, and return the accuracy of the network that would ship on the hold-out rows, in [0, 1].

    Args:
        settings: the settings of the training.
        folder: the training's run folder.
        pruning: may end the training.
        progress_bar: whether to draw a progress bar.

    Raises:
        TrialPruned: the training was ended.
    """
    gc.collect()  # a finished training leaves its network in reference cycles, which hold the device's memory
    data = settings.load_data()
    with cpu_threads(settings.threads):
        trained = fit(settings, data, folder, progress_bar=progress_bar, more=[pruning])
        if pruning.stopped:
            raise optuna.TrialPruned
        return _anew(trained) if settings.reestimate_bn else trained.selected.holdout


def _anew(trained: Trained) -> float:
    """Return the hold-out accuracy with re-estimated batch-norm statistics, as the network would ship."""
    module, device = trained.module.to(trained.device), trained.device
    net, datamodule = trained.selected.net.to(device), module.datamodule
    reestimate_bn(net, datamodule, module.task, device=device)
    return accuracy(net, datamodule.evaluation_batches(datamodule.data.holdout, device))


def named(values: Mapping[str, Any]) -> str:
    """Format the values of a trial on one line."""
    return ", ".join(
        f"{name}={f'{value:.4g}' if isinstance(value, float) else value}" for name, value in values.items()
    )
