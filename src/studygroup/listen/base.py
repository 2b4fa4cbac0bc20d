"""What all imitation rules have in common."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from studygroup.group import Outputs
from studygroup.selection import to_device


class Listener(nn.Module):
    """The base of all imitation rules.

    A rule says before any forward pass who is consulted (`consults`), and after it with what weight
    (`weights`). Draws depend on the seed and the step alone, so they are equal on all ranks and can be
    replayed. `CollaborativeLearning` calls `join` once.

    Attributes:
        want: what the rule needs of the outputs besides logits, see `StudyGroup.forward`.
        learns: whether the weights have a gradient.
        pairwise: whether a student imitates each of his peers by himself, so that what is averaged are the
            divergences (DML), instead of what they say together.
        one_answer: whether all students listen to one and the same answer, that of the ensemble (ONE).
        sources: BibTeX of what to cite, see `citation`.
    """

    want: tuple[str, ...] = ()
    learns = False
    pairwise = False
    one_answer = False
    sources: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.students = 0
        self.seed = 0

    def join(self, *, students: int, seed: int) -> None:
        """Learns how many students there are, and the seed of all draws.

        Raises:
            ValueError: the rule does not fit that number of students.
        """
        self.students = students
        self.seed = seed

    def consults(self, step: int) -> Bool[Tensor, "students students"]:
        """Who asks whom in this step; a CPU table. Here everybody asks everybody, himself included."""
        return torch.ones(self.students, self.students, dtype=torch.bool)

    def weights(
        self, outputs: Outputs, consults: Bool[Tensor, "students students"]
    ) -> Float[Tensor, "students students"] | Float[Tensor, "rows students students"]:
        """The weight of every answer, on the device of the outputs.

        The base class gives all who are consulted the same weight, rows summing to 1; a row of zeros means
        that a student listens to nobody.
        """
        return share_equally(consults, outputs)

    def answers(self, outputs: Outputs, y: Int[Tensor, " rows"]) -> Float[Tensor, "students rows classes"]:
        """The logits that are weighed: the students' own, unless a rule makes a teacher of them."""
        return outputs.logits

    def figures(self) -> dict[str, Float[Tensor, ""]]:
        """What the rule has to say of the last batch, by name, for whoever logs; scalars on the device."""
        return {}


def share_equally(
    consults: Bool[Tensor, "students students"], outputs: Outputs
) -> Float[Tensor, "students students"]:
    """The same weight for all who are consulted, on the device of the outputs."""
    return beside(consults.double() / consults.sum(1, keepdim=True).clamp(min=1), outputs)


def beside(
    weights: Float[Tensor, "students students"], outputs: Outputs
) -> Float[Tensor, "students students"]:
    """Weights made on the host, on the device and in the precision of the logits."""
    return to_device(weights.to(outputs.logits.dtype), outputs.logits.device)
