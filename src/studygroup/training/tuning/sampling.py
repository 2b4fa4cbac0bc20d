"""Samplers, which draw the values of a trial, and the pruner, which ends a trial early."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, MedianPruner
from optuna.samplers import BaseSampler, GridSampler, TPESampler
from optuna.trial import FrozenTrial

from studygroup import seeding
from studygroup.training.tuning.space import Space
from studygroup.training.tuning.study import place

_EARLY = (
    0.2  # share of the epochs in which nothing is pruned: learning rates and weights of losses still rise
)


class Replayed(BaseSampler):
    """Sampler that is built anew for every trial: the trial's place and the trials before it determine its draws.

    A sampler with one seed for a whole process would repeat the same draws in a process that starts later or runs
    beside it.

    Args:
        make: builds the sampler for a seed.
        seed: the study's seed.
    """

    def __init__(self, make: Callable[[int], BaseSampler], *, seed: int) -> None:
        self._make, self._seed = make, seed

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Build the trial's own sampler."""
        # numpy's generators take seeds of 32 bits
        self._sampler = self._make(seeding.derive(self._seed, "trial", place(study, trial)) % 2**32)
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the relative search space of the trial's own sampler."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw with the trial's own sampler."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw one parameter with the trial's own sampler."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)


def tpe(*, seed: int) -> BaseSampler:
    """Return Optuna's tree-structured Parzen estimator, which learns from the trials before.

    Args:
        seed: the study's seed.
    """
    return Replayed(_tpe, seed=seed)


def _tpe(seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # stable since Optuna 5
        # constant_liar keeps processes that draw at the same time from drawing the same values
        return TPESampler(seed=seed, constant_liar=True)


def grid(space: Space, *, seed: int) -> BaseSampler:
    """Return a sampler of all combinations, each once.

    Args:
        space: a space with a list of values on every axis.
        seed: seed of the order, which is the same for the whole study.
    """
    return Replayed(lambda _: GridSampler(space.lists(), seed=seed), seed=seed)


def median(epochs: int) -> BasePruner:
    """Return a pruner of trials worse than the median of those before at the same epoch; it spares the first five.

    Args:
        epochs: epochs of a trial; it is spared in the first fifth of them.
    """
    return MedianPruner(n_startup_trials=5, n_warmup_steps=math.ceil(_EARLY * epochs))
