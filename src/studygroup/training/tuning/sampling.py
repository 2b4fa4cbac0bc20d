"""What draws the values of a trial, and what ends a trial early."""

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
    """A sampler made anew for every trial: what it draws follows from the trial's place and those before.

    A sampler with one seed for a whole process would, in a process that comes later or beside it, begin with the
    same draws again.

    Args:
        make: gives the sampler for a seed.
        seed: of the study.
    """

    def __init__(self, make: Callable[[int], BaseSampler], *, seed: int) -> None:
        self._make, self._seed = make, seed

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Makes the trial's own sampler."""
        # numpy's generators take seeds of 32 bits
        self._sampler = self._make(seeding.derive(self._seed, "trial", place(study, trial)) % 2**32)
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """As the trial's own sampler says."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the trial's own sampler says."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As the trial's own sampler says."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)


def tpe(*, seed: int) -> BaseSampler:
    """Optuna's tree-structured Parzen estimator: learns from the trials before.

    Args:
        seed: of the study.
    """
    return Replayed(_tpe, seed=seed)


def _tpe(seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # stable since Optuna 5
        # the liar keeps processes that draw at the same time from drawing the same
        return TPESampler(seed=seed, constant_liar=True)


def grid(space: Space, *, seed: int) -> BaseSampler:
    """All combinations, each once.

    Args:
        space: has a list of values on every axis.
        seed: of the order, which is one for the whole study.
    """
    return Replayed(lambda _: GridSampler(space.lists(), seed=seed), seed=seed)


def median(epochs: int) -> BasePruner:
    """Ends a trial that is worse than the median of the trials before, after as many epochs; spares the first five.

    Args:
        epochs: of a trial; it is spared in the first fifth of them.
    """
    return MedianPruner(n_startup_trials=5, n_warmup_steps=math.ceil(_EARLY * epochs))
