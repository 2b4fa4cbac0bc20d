"""Search for settings with Optuna."""

from studygroup.training.tuning.results import Tuned
from studygroup.training.tuning.search import tune

__all__ = ["Tuned", "tune"]
