"""Training on Lightning: one call trains, chooses, scores and ships."""

from studygroup.training.callbacks import NonFiniteLossError
from studygroup.training.checkpoints import UnreadableCheckpointWarning
from studygroup.training.compare import compare
from studygroup.training.config import ConfigurationChangedError
from studygroup.training.export import load_net
from studygroup.training.folder import FolderInUseError, RunFolder
from studygroup.training.load_run import Run, evaluate, export
from studygroup.training.predict import Prediction, Shipped, load_shipped, predict
from studygroup.training.rates import Constant, Cosine, MultiStep, OneCycle, Rate
from studygroup.training.run import FolderTakenError, train
from studygroup.training.settings import Settings
from studygroup.training.tuning import Tuned, tune

__all__ = [
    "ConfigurationChangedError",
    "Constant",
    "Cosine",
    "FolderInUseError",
    "FolderTakenError",
    "MultiStep",
    "NonFiniteLossError",
    "OneCycle",
    "Prediction",
    "Rate",
    "Run",
    "RunFolder",
    "Settings",
    "Shipped",
    "Tuned",
    "UnreadableCheckpointWarning",
    "compare",
    "evaluate",
    "export",
    "load_net",
    "load_shipped",
    "predict",
    "train",
    "tune",
]
