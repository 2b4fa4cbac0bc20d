"""studygroup: students of one network teach each other; one plain network is shipped."""

from studygroup import auxiliary, functional, listen, recipes, routes, schedules
from studygroup.checks import NoOwnerWarning
from studygroup.citation import citation
from studygroup.collaborate import CollaborativeLearning, Losses, SharedRows, Subsets
from studygroup.group import Outputs, SharedHeadWarning, StudyGroup
from studygroup.inputs import SynchronisationWarning
from studygroup.peers import Peers
from studygroup.routes import Routes
from studygroup.surgery import FreshInitWarning

__all__ = [
    "CollaborativeLearning",
    "FreshInitWarning",
    "Losses",
    "NoOwnerWarning",
    "Outputs",
    "Peers",
    "Routes",
    "SharedHeadWarning",
    "SharedRows",
    "StudyGroup",
    "Subsets",
    "SynchronisationWarning",
    "auxiliary",
    "citation",
    "functional",
    "listen",
    "recipes",
    "routes",
    "schedules",
]
__version__ = "0.1.0"
