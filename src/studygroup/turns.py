"""One student at a time: the others' parameters take no part in a pass."""

from collections.abc import Iterator
from contextlib import contextmanager

from studygroup.group import StudyGroup
from studygroup.peers import Peers


@contextmanager
def alone(group: StudyGroup | Peers, student: int) -> Iterator[None]:
    """Inside, only one student's parameters, shared ones included, ask for a gradient.

    A pass made inside leaves the gradients of all others as they are, `None` after `zero_grad`: an optimiser then
    skips them. A zero in that place would still let momentum and weight decay move them.

    Args:
        group: the students.
        student: whose parameters stay.
    """
    own = {id(parameter) for parameter in group.parameters_of(student)}
    others = [p for p in group.parameters() if p.requires_grad and id(p) not in own]
    try:
        for parameter in others:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)
