"""studygroup: students of one network teach each other; one plain network is shipped."""

from studygroup import functional, objectives, recipes, routes, schedules, teachers
from studygroup._engine.equal_starts import EqualStudentsWarning
from studygroup._engine.surgery import FreshInitWarning
from studygroup.citation import citation
from studygroup.group import Group, Outputs, SharedHeadWarning, StudyGroup
from studygroup.inputs import SynchronisationWarning
from studygroup.ownership import NoOwnerWarning, SharedRows, Subsets
from studygroup.peers import Peers
from studygroup.routes import Routes
from studygroup.task import CollaborativeLearning, Losses

__all__ = [
    "CollaborativeLearning",
    "EqualStudentsWarning",
    "FreshInitWarning",
    "Group",
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
    "citation",
    "functional",
    "objectives",
    "recipes",
    "routes",
    "schedules",
    "teachers",
]
__version__ = "0.1.0"
