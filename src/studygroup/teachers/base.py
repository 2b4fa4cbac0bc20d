"""The base of all teachers: who is consulted, with what weight, and what they answer."""

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from studygroup._engine.capture import Capture
from studygroup._engine.selection import to_device
from studygroup.checks import check_whole
from studygroup.group import Group
from studygroup.outputs import Outputs

Labels = Shaped[Tensor, "rows *_"]
"""The labels of a batch: one a row, or several."""

Weights = Float[Tensor, "students teachers"] | Float[Tensor, "rows students teachers"]
"""Row k holds the weights of what student k listens to; one matrix, or one for each row of the batch."""


class Teacher(nn.Module):
    """The base of all teachers, which students imitate.

    A teacher decides before any forward pass who consults whom (`consults`), and after it with what weight each
    answer counts (`weights`) and which logits are weighed (`logits`). Draws depend on the seed and the step alone, so
    they are equal on all ranks and reproducible. `CollaborativeLearning` calls `join` once.

    Args:
        of: who answers; omitted, the students themselves. Any `Group` will do, such as moving averages (`Averages`)
            or a frozen network.

    Attributes:
        capture: what the teacher needs of the pass in addition to logits.
        knows_labels: whether its answers depend on the labels, which no row may then lack.
        sources: BibTeX of what to cite, see `citation`.
    """

    capture: Capture = Capture()
    knows_labels: bool = False
    sources: tuple[str, ...] = ()

    def __init__(self, *, of: Group | None = None) -> None:
        super().__init__()
        self.students = 0
        self.seed = 0
        self._of = (of,)  # in a tuple, so that it is no sub-module: the task owns it

    @property
    def of(self) -> Group | None:
        """The group that answers; `None` for the students themselves."""
        return self._of[0]

    def join(self, *, students: int, seed: int) -> None:
        """Set the number of students and the seed of all draws.

        Raises:
            ValueError: the teacher does not fit that number of students, or a number that is not whole.
        """
        self.students = check_whole("students", students, least=1)
        self.seed = check_whole("seed", seed)

    def consults(self, step: int) -> Bool[Tensor, "students teachers"]:
        """Return who consults whom in this step, a CPU table; here everybody consults everybody, itself included."""
        return torch.ones(self.students, self.students, dtype=torch.bool)

    def weights(self, answers: Outputs, consults: Bool[Tensor, "students teachers"]) -> Weights:
        """Return the weight of every answer, on the device of the answers.

        The base class gives all who are consulted the same weight, rows summing to 1; a row of zeros means that a
        student listens to nobody.
        """
        return share_equally(consults, answers)

    def logits(self, answers: Outputs, y: Labels) -> Float[Tensor, "teachers rows *classes"]:
        """Return the logits that are weighed: those of the answers, unless the teacher computes its own from them."""
        return answers.logits

    def figures(self) -> dict[str, Float[Tensor, ""]]:
        """Return figures of the last batch to log, by name; scalars on the device."""
        return {}


class OneTeacher(Teacher):
    """The base of teachers that give all students the same answer, such as an ensemble of them."""


def check_one_answer(of: str, answers: Outputs) -> None:
    """Refuse dense answers for a teacher that has one answer a row.

    Args:
        of: name of the teacher, for the error.
        answers: the students' answers.

    Raises:
        ValueError: the students answer at several places of a row.
    """
    if answers.logits.ndim != 3:
        raise ValueError(
            f"{of} has one answer a row, and the students' logits of a row have shape "
            f"{tuple(answers.logits.shape[2:])}; for dense answers take another teacher, such as MeanOfOthers"
        )


def share_equally(consults: Bool[Tensor, "students teachers"], answers: Outputs) -> Weights:
    """Return the same weight for all who are consulted, on the device of the answers."""
    return weights_like(consults.double() / consults.sum(1, keepdim=True).clamp(min=1), answers)


def weights_like(weights: Float[Tensor, "students teachers"], answers: Outputs) -> Weights:
    """Move weights from the host to the device and the precision of the logits."""
    return to_device(weights.to(answers.logits.dtype), answers.logits.device)
