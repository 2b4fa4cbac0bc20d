"""What every objective beside the students' own is."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from studygroup.group import Outputs
from studygroup.schedules import Schedule, constant


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

    def forward(self, outputs: Outputs, y: Int[Tensor, " rows"], progress: float) -> Float[Tensor, ""]:
        """The objective's value, unweighted."""
        raise NotImplementedError
