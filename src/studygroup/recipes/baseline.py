"""The plain network, trained through the same code as every method: what all of them are measured against."""

from torch import nn

from studygroup.collaborate import CollaborativeLearning
from studygroup.group import StudyGroup
from studygroup.routes import independent


def baseline(model: nn.Module) -> CollaborativeLearning:
    """One student who learns from the labels alone; `baseline(2x)` is the same with a network of twice the width.

    Args:
        model: the network to train and ship.
    """
    return CollaborativeLearning(StudyGroup(model, independent(students=1)))
