"""The losses of a training step."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from studygroup._engine.trees import as_tree


@dataclass(frozen=True)
class Losses:
    """The losses of a step.

    Attributes:
        total: weighted sum over students and objectives; call `backward` on it.
        values: unweighted loss of each objective by name: one for each student, or one for all.
        logits: the students' answers in the supervised pass, zero where a student did not see the row.
    """

    total: Float[Tensor, ""]
    values: Mapping[str, Float[Tensor, " students"] | Float[Tensor, ""]]
    logits: Float[Tensor, "students rows *classes"]

    @property
    def supervised(self) -> Float[Tensor, " students"]:
        """The loss of each student on its labels, unweighted; zero without such an objective."""
        return self._of_students("supervised")

    @property
    def imitation(self) -> Float[Tensor, " students"]:
        """The imitation loss of each student, unweighted; zero without such an objective."""
        return self._of_students("imitation")

    @property
    def auxiliary(self) -> dict[str, Float[Tensor, ""]]:
        """All other objectives by name, unweighted, summed over students."""
        return {
            name: value.sum()
            for name, value in self.values.items()
            if name not in ("supervised", "imitation")
        }

    def _of_students(self, name: str) -> Tensor:
        nothing = self.total.new_zeros(len(self.logits))
        return self.values.get(name, nothing)


as_tree(Losses, "total", "values", "logits")
