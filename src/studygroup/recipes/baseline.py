"""The plain network, trained by the same code as every method: the baseline of all comparisons."""

from torch import nn

from studygroup.group import StudyGroup
from studygroup.objectives import Supervised
from studygroup.routes import independent
from studygroup.task import CollaborativeLearning


def baseline(model: nn.Module) -> CollaborativeLearning:
    """Train one student that learns from the labels alone.

    `baseline(2x)` is the same with a network of twice the width.

    Args:
        model: the network to train and ship.
    """
    return CollaborativeLearning(StudyGroup(model, independent(students=1)), [Supervised()])
