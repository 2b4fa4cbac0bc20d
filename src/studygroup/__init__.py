"""studygroup: students of one network teach each other; one plain network is shipped.

Names are imported when they are first asked for, so that the program `studygroup` can answer without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from studygroup.extras import needing_extra

if TYPE_CHECKING:
    from studygroup import analysis as analysis
    from studygroup import data as data
    from studygroup import formats as formats
    from studygroup import functional, layers, objectives, parallel, recipes, routes, schedules, teachers
    from studygroup import models as models
    from studygroup import training as training
    from studygroup._engine.copying import SharedAttributeWarning
    from studygroup._engine.equal_starts import EqualStudentsWarning, NoGradientWarning
    from studygroup._engine.self_check import MixedRowsWarning
    from studygroup._engine.surgery import FreshInitWarning
    from studygroup.citing import citation
    from studygroup.ensembling import ensemble
    from studygroup.group import Group, SharedHeadWarning, StudyGroup
    from studygroup.inputs import SynchronisationWarning
    from studygroup.loaders import student_loader
    from studygroup.losses import Losses
    from studygroup.outputs import Outputs
    from studygroup.ownership import NoOwnerWarning, SharedRows, Subsets, owners
    from studygroup.peers import Peers
    from studygroup.routes import EqualPathsWarning, Routes
    from studygroup.shipping import accuracies, best_student, student_to_ship
    from studygroup.soups import Soup, greedy_soup, uniform_soup
    from studygroup.task import CollaborativeLearning

__all__ = [
    "CollaborativeLearning",
    "EqualPathsWarning",
    "EqualStudentsWarning",
    "FreshInitWarning",
    "Group",
    "Losses",
    "MixedRowsWarning",
    "NoGradientWarning",
    "NoOwnerWarning",
    "Outputs",
    "Peers",
    "Routes",
    "SharedAttributeWarning",
    "SharedHeadWarning",
    "SharedRows",
    "Soup",
    "StudyGroup",
    "Subsets",
    "SynchronisationWarning",
    "accuracies",
    "best_student",
    "citation",
    "ensemble",
    "functional",
    "greedy_soup",
    "layers",
    "objectives",
    "owners",
    "parallel",
    "recipes",
    "routes",
    "schedules",
    "student_loader",
    "student_to_ship",
    "teachers",
    "uniform_soup",
]
__version__ = "0.1.0"

_MODULES = ("functional", "layers", "objectives", "parallel", "recipes", "routes", "schedules", "teachers")
_WITH_EXTRA = ("analysis", "data", "formats", "models", "training")
_FROM = {
    name: module
    for module, names in {
        "_engine.copying": ("SharedAttributeWarning",),
        "_engine.equal_starts": ("EqualStudentsWarning", "NoGradientWarning"),
        "_engine.self_check": ("MixedRowsWarning",),
        "_engine.surgery": ("FreshInitWarning",),
        "citing": ("citation",),
        "ensembling": ("ensemble",),
        "group": ("Group", "SharedHeadWarning", "StudyGroup"),
        "inputs": ("SynchronisationWarning",),
        "loaders": ("student_loader",),
        "losses": ("Losses",),
        "outputs": ("Outputs",),
        "ownership": ("NoOwnerWarning", "SharedRows", "Subsets", "owners"),
        "peers": ("Peers",),
        "routes": ("EqualPathsWarning", "Routes"),
        "shipping": ("accuracies", "best_student", "student_to_ship"),
        "soups": ("Soup", "greedy_soup", "uniform_soup"),
        "task": ("CollaborativeLearning",),
    }.items()
    for name in names
}
"""The module of each name; none has the name of a module, which would take its place once that is imported."""


def __getattr__(name: str) -> Any:
    """Import a name, or a module such as `sg.models`, when it is first asked for.

    Raises:
        AttributeError: there is no such name.
        ModuleNotFoundError: a package that it needs is missing; names the extra that installs it.
    """
    if name in _FROM:
        found = getattr(importlib.import_module(f"{__name__}.{_FROM[name]}"), name)
        globals()[name] = found
        return found
    if name not in (*_MODULES, *_WITH_EXTRA):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    path = f"{__name__}.{name}"
    return importlib.import_module(path) if name in _MODULES else needing_extra(path, asked=path)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_WITH_EXTRA})
