"""What passes through a group for one example batch: how recipes learn the sizes of what they build."""

from collections.abc import Sequence

from torch import Tensor

from studygroup.group import Outputs, StudyGroup
from studygroup.inputs import Inputs
from studygroup.peers import Peers
from studygroup.trace import traceless


def probe(group: StudyGroup | Peers, example: Inputs, *, want: Sequence[str]) -> Outputs:
    """A group's answer to one batch, in evaluation, without gradient and without trace.

    Args:
        group: the students.
        example: one batch, as the network takes it; two rows are enough.
        want: as `StudyGroup.forward`.
    """
    with traceless(group.model, training=False):
        outputs: Outputs = group(example, want=want)
    return outputs


def trunk(group: StudyGroup | Peers, example: Inputs) -> Tensor:
    """What all students share for one batch, see `Outputs.trunk`."""
    found = probe(group, example, want=("trunk",)).trunk
    assert found is not None
    return found


def features(group: StudyGroup | Peers, example: Inputs) -> Tensor:
    """The first student's features for one batch, see `Outputs.features`."""
    found = probe(group, example, want=("features",)).features
    assert found is not None
    return found[0]
