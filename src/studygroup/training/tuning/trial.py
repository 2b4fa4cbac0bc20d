"""One trial: draw values, train with every seed, score the hold-out rows."""

import gc
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch
from filelock import FileLock
from lightning.pytorch import Callback, LightningModule, Trainer
from optuna.trial import FrozenTrial, TrialState

from studygroup.shipping import student_to_ship
from studygroup.training.callbacks import NonFiniteLossError
from studygroup.training.computing import computing
from studygroup.training.curves import log_trial
from studygroup.training.export import reestimate_bn
from studygroup.training.fit import Trained, fit
from studygroup.training.folder import RunFolder, try_lock
from studygroup.training.grid import say
from studygroup.training.half import settled
from studygroup.training.keep_history import History
from studygroup.training.module import StudyModule
from studygroup.training.scores import accuracy
from studygroup.training.settings import Settings
from studygroup.training.tuning.space import Space
from studygroup.training.tuning.study import Samplers, identity, origin, place, trial_folder

FAILURES = (NonFiniteLossError, torch.OutOfMemoryError, ValueError)
"""Errors that the values of a trial may be to blame for."""


class Pruning(Callback):
    """Callback that reports the accuracy of the student that would ship now and stops if the study's pruner says so.

    The accuracy is that on the hold-out rows. Training that resumes from a checkpoint reports the epochs before it,
    too. With several seeds, one training follows the other: the mean over the seeds so far is reported, at a step
    that counts the epochs of all seeds.

    Args:
        trial: the trial to report to.
        before: hold-out accuracies of the finished seeds.
        epochs: epochs of one training.

    Attributes:
        stopped: whether the pruner ended the training.
    """

    def __init__(self, trial: optuna.Trial, *, before: Sequence[float], epochs: int) -> None:
        self.trial, self.before, self.epochs = trial, list(before), epochs
        self.stopped = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the epochs that the checkpoint holds."""
        assert isinstance(pl_module, StudyModule)
        rows = next(callback for callback in trainer.callbacks if isinstance(callback, History)).rows  # type: ignore[attr-defined]
        for row in rows:
            self._report(pl_module, row.epoch, row.holdout)
        if rows:
            self._look(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the epoch."""
        assert isinstance(pl_module, StudyModule)
        self._report(pl_module, trainer.current_epoch + 1, pl_module.holdout.students)
        self._look(trainer)

    def _report(self, module: StudyModule, epoch: int, accuracies: Sequence[float]) -> None:
        now = accuracies[student_to_ship(module.task, accuracies)]
        step = len(self.before) * self.epochs + epoch
        self.trial.report(statistics.fmean([*self.before, now]), step)

    def _look(self, trainer: Trainer) -> None:
        if self.trial.should_prune():
            self.stopped = trainer.should_stop = True  # the epoch's figures and checkpoint are still written


class GaveWayError(Exception):
    """The trial belongs to another process, or is one more than asked for; nothing was done."""


@dataclass(frozen=True)
class Objective:
    """The objective that a study maximises: the hold-out accuracy of the network that would ship, mean over seeds.

    Test rows are not scored. A training in the trial's folder is resumed.

    Attributes:
        space: the search space.
        seeds: seeds of the trainings.
        samplers: builds the sampler of a trial.
        folder: holds the trials' folders.
        trials: the number of trials asked for.
        drawing: lock that is held while a trial begins and released once its values are drawn.
        progress_bar: whether to print what is tried and draw progress bars.
    """

    space: Space
    seeds: Sequence[int]
    samplers: Samplers
    folder: Path
    trials: int
    drawing: FileLock
    progress_bar: bool

    def __call__(self, trial: optuna.Trial) -> float:
        """Return the mean accuracy in [0, 1].

        Raises:
            TrialPruned: the trial has fallen behind.
            GaveWayError: the trial is not this process's to run.
        """
        number = place(trial.study, trial.number)
        retry = origin(trial.study.get_trials(deepcopy=False)[trial.number]) != trial.number
        folder = trial_folder(self.folder, number)
        if number >= self.trials:
            raise GaveWayError
        with try_lock(folder) as free:
            if not free:
                raise GaveWayError
            values = self._begin(trial, number, retry=retry)
            try:
                return self._mean(trial, values, folder)
            except FAILURES as error:
                trial.set_user_attr("error", f"{type(error).__name__}: {error}")
                if isinstance(error, ValueError):
                    raise ValueError(f"trial {number} ({named(values)}): {error}") from error
                raise

    def _begin(self, trial: optuna.Trial, number: int, *, retry: bool) -> dict[str, Any]:
        """Draw the values and record whose trial it is; then others may draw."""
        for name, value in identity(self.folder).items():
            trial.set_user_attr(name, value)
        trial.study.sampler = self.samplers(number)  # the place and the trials before it determine the draws
        values = {name: axis.draw(trial, name) for name, axis in self.space.axes.items()}
        self.drawing.release()
        if self.progress_bar:
            again = " goes on" if retry else ""
            say(f"trial {number}{again}: {named(values)}")
        return values

    def _mean(self, trial: optuna.Trial, values: Mapping[str, Any], folder: Path) -> float:
        twin = _twin(trial)
        if twin is not None:
            trial.set_user_attr("as", place(trial.study, twin.number))
            trial.set_user_attr("holdout", twin.user_attrs["holdout"])
            return statistics.fmean(twin.user_attrs["holdout"])
        done: list[float] = []
        for seed in self.seeds:
            settings = self.space.settings(values, seed=seed)
            settings.check_here()
            pruning = Pruning(trial, before=done, epochs=settings.epochs)
            run = RunFolder(folder / f"seed-{seed}")
            done.append(holdout_accuracy(settings, run, pruning, progress_bar=self.progress_bar))
            trial.set_user_attr("holdout", done)
        log_trial(folder, values, statistics.fmean(done))
        return statistics.fmean(done)


def _twin(trial: optuna.Trial) -> FrozenTrial | None:
    """Return a finished trial with the same values, which would reach the same accuracy again; None without one."""
    finished = trial.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return next((other for other in finished if other.params == trial.params), None)


def holdout_accuracy(settings: Settings, folder: RunFolder, pruning: Pruning, *, progress_bar: bool) -> float:
    """Train, or resume, and return the accuracy of the network that would ship on the hold-out rows, in [0, 1].

    Raises:
        TrialPruned: the training was ended.
    """
    gc.collect()  # a finished training leaves its network in reference cycles, which hold the device's memory
    data = settings.load_data()
    settings = settled(settings, data, folder)
    with computing(settings):
        trained = fit(settings, data, folder, progress_bar=progress_bar, more=[pruning], tests=False)
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
