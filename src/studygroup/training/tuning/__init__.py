"""Search for settings with Optuna."""

from studygroup.training.tuning.tune import tune
from studygroup.training.tuning.work import Tuned

__all__ = ["Tuned", "tune"]
