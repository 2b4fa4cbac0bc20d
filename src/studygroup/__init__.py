"""studygroup: students of one network teach each other; one plain network is shipped."""

from studygroup import functional, listen, recipes, routes, schedules
from studygroup.collaborate import CollaborativeLearning, Losses, SharedRows, Subsets
from studygroup.group import Outputs, SharedHeadWarning, StudyGroup, SynchronisationWarning
from studygroup.routes import Routes
from studygroup.surgery import FreshInitWarning

__all__ = [
    "CollaborativeLearning",
    "FreshInitWarning",
    "Losses",
    "Outputs",
    "Routes",
    "SharedHeadWarning",
    "SharedRows",
    "StudyGroup",
    "Subsets",
    "SynchronisationWarning",
    "functional",
    "listen",
    "recipes",
    "routes",
    "schedules",
]
__version__ = "0.1.0"
