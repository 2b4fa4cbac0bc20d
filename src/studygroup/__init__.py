"""studygroup: students of one network teach each other; one plain network is shipped."""

import importlib
from typing import TYPE_CHECKING, Any

from studygroup import functional, layers, objectives, recipes, routes, schedules, teachers
from studygroup._engine.copying import SharedAttributeWarning
from studygroup._engine.equal_starts import EqualStudentsWarning, NoGradientWarning
from studygroup._engine.surgery import FreshInitWarning
from studygroup.citation import citation
from studygroup.group import Group, Outputs, SharedHeadWarning, StudyGroup
from studygroup.inputs import SynchronisationWarning
from studygroup.losses import Losses
from studygroup.ownership import NoOwnerWarning, SharedRows, Subsets, owners
from studygroup.peers import Peers
from studygroup.routes import Routes
from studygroup.shipping import accuracies, best_student, student_to_ship
from studygroup.student_loader import student_loader
from studygroup.task import CollaborativeLearning

__all__ = [
    "CollaborativeLearning",
    "EqualStudentsWarning",
    "FreshInitWarning",
    "Group",
    "Losses",
    "NoGradientWarning",
    "NoOwnerWarning",
    "Outputs",
    "Peers",
    "Routes",
    "SharedAttributeWarning",
    "SharedHeadWarning",
    "SharedRows",
    "StudyGroup",
    "Subsets",
    "SynchronisationWarning",
    "accuracies",
    "best_student",
    "citation",
    "functional",
    "layers",
    "objectives",
    "owners",
    "recipes",
    "routes",
    "schedules",
    "student_loader",
    "student_to_ship",
    "teachers",
]
__version__ = "0.1.0"

if TYPE_CHECKING:
    from studygroup import analysis as analysis
    from studygroup import data as data
    from studygroup import models as models
    from studygroup import training as training

_ON_FIRST_USE = ("analysis", "data", "models", "training")


def __getattr__(name: str) -> Any:
    """Import `sg.models` and the like when they are first asked for.

    Raises:
        AttributeError: there is no such name.
        ModuleNotFoundError: a package that it needs is missing; names the extra that installs it.
    """
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == __name__:
            raise
        raise ModuleNotFoundError(
            f"{__name__}.{name} needs the package {package!r}, which is not installed; "
            f"pip install '{__name__}[train]'",
            name=error.name,
        ) from error


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_FIRST_USE})
