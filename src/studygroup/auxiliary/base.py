"""What every objective beside the students' own is, and what it sees of a step."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor, nn

from studygroup.group import Outputs, StudyGroup
from studygroup.inputs import Inputs
from studygroup.peers import Peers
from studygroup.schedules import Schedule, constant


@dataclass(frozen=True)
class Step:
    """What an objective sees of a training step.

    Attributes:
        group: the students.
        outputs: what they answered in the supervised pass, with what the objective wants of it.
        x: the batch, as the model takes it.
        y: class indices.
        progress: how far training has come, from 0 to 1.
    """

    group: StudyGroup | Peers
    outputs: Outputs
    x: Inputs
    y: Int[Tensor, " rows"]
    progress: float


class Auxiliary(nn.Module):
    """The base of all objectives beside the students' own; add them with `CollaborativeLearning(auxiliary=[...])`.

    Args:
        name: under which its value stands in `Losses.auxiliary`.
        weight: of its value in the total, a number or a function of progress.

    Attributes:
        want: what it needs of the outputs besides logits, see `StudyGroup.forward`.
        sources: BibTeX of what to cite, see `citation`.
    """

    want: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def __init__(self, *, name: str, weight: float | Schedule) -> None:
        super().__init__()
        self.name = name
        self.weight = weight if callable(weight) else constant(float(weight))

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The objective's value, unweighted. Under autocast it is called with autocast on."""
        raise NotImplementedError


class OfWeights(Auxiliary):
    """The base of objectives that look at weights alone.

    They are computed before the forward pass: the backward pass then comes to them last, and their gradients take the
    place of activations that are gone.
    """

    def of(self, group: StudyGroup | Peers) -> Float[Tensor, ""]:
        """The objective's value, unweighted."""
        raise NotImplementedError

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The same for a step at hand."""
        return self.of(step.group)
