"""Training on Lightning: one call trains, chooses, scores and ships.

What trains imports Lightning, which takes seconds, when it is first asked for; what opens finished runs does without.
"""

from typing import TYPE_CHECKING, Any

from studygroup.extras import needing_extra
from studygroup.training.checkpoints import UnreadableCheckpointWarning
from studygroup.training.config import ConfigurationChangedError
from studygroup.training.export import load_net
from studygroup.training.folder import FolderInUseError, RunFolder
from studygroup.training.load_run import Run, evaluate, export
from studygroup.training.predict import Prediction, Shipped, load_shipped, predict
from studygroup.training.rates import Constant, Cosine, MultiStep, OneCycle, Rate
from studygroup.training.schedulers import TimmRate, TorchRate
from studygroup.training.settings import Settings

if TYPE_CHECKING:
    from studygroup.training.callbacks import NonFiniteLossError
    from studygroup.training.compare_configs import compare
    from studygroup.training.repeat import Reproduction, reproduce
    from studygroup.training.run import FolderTakenError, train
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
    "Reproduction",
    "Run",
    "RunFolder",
    "Settings",
    "Shipped",
    "TimmRate",
    "TorchRate",
    "Tuned",
    "UnreadableCheckpointWarning",
    "compare",
    "evaluate",
    "export",
    "load_net",
    "load_shipped",
    "predict",
    "reproduce",
    "train",
    "tune",
]

_FROM = {
    "FolderTakenError": "run",
    "NonFiniteLossError": "callbacks",
    "Reproduction": "repeat",
    "Tuned": "tuning",
    "compare": "compare_configs",
    "reproduce": "repeat",
    "train": "run",
    "tune": "tuning",
}
"""The module of each name that needs Lightning; none has the name of a module, which would take its place."""


def __getattr__(name: str) -> Any:
    """Import what trains when it is first asked for.

    Raises:
        AttributeError: there is no such name.
        ModuleNotFoundError: a package that it needs is missing; names the extra that installs it.
    """
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(needing_extra(f"{__name__}.{_FROM[name]}", asked=f"{__name__}.{name}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
