"""Search for settings with Optuna."""

from studygroup.training.tuning.results import Tuned
from studygroup.training.tuning.tune import tune

__all__ = ["Tuned", "tune"]
