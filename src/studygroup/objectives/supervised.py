"""Learning from the labels: every student by itself, and an ensemble of them."""

import torch
from jaxtyping import Float
from torch import Tensor

from studygroup._engine.selection import to_device
from studygroup.functional import masked_mean, mixed_answers
from studygroup.functional.precision import single
from studygroup.objectives.base import Objective, Step
from studygroup.objectives.criteria import Criterion, CrossEntropy
from studygroup.schedules import Schedule
from studygroup.teachers import OneTeacher


class Supervised(Objective):
    """Every student learns from the labels of its rows.

    Args:
        criterion: the meaning of labels and how answers are compared with them; imitation follows it. By default
            `CrossEntropy()`: one class per row, by index or as probabilities.
        weight: weight in the total: a number or a function of progress.
        name: see `Objective`.
    """

    def __init__(
        self,
        criterion: Criterion | None = None,
        *,
        weight: float | Schedule = 1.0,
        name: str = "supervised",
    ) -> None:
        super().__init__(name=name, weight=weight)
        self.criterion = criterion or CrossEntropy()

    def loss(self, step: Step) -> Float[Tensor, " students"]:
        """Return each student's mean over the rows that it sees.

        Raises:
            ValueError: invalid labels, see `Criterion.loss`.
        """
        logits = single(step.outputs.logits)
        criterion = self.criterion
        assert criterion is not None
        with torch.autocast(logits.device.type, enabled=False):
            each, counts = criterion.loss(criterion.spread(logits), step.y)
            return masked_mean(each, to_device(step.outputs.sees, logits.device), counts)


class Ensemble(Objective):
    """A teacher with one answer for all students learns from the labels itself: CE(y, ψ(z_e; 1)) (ONE, PCL).

    Args:
        teacher: such as `teachers.Gate`, or `teachers.PeerEnsemble`.
        weight: a number or a function of progress.
        name: see `Objective`.

    Raises:
        TypeError: a teacher whose answer differs from student to student.
    """

    moves_teachers = True

    def __init__(
        self, teacher: OneTeacher, *, weight: float | Schedule = 1.0, name: str = "ensemble"
    ) -> None:
        super().__init__(name=name, weight=weight)
        if not isinstance(teacher, OneTeacher):
            raise TypeError(
                f"{type(teacher).__name__} has an answer of its own for each student, so there is no ensemble to "
                "train; use a OneTeacher, such as teachers.Gate"
            )
        self.teachers = (teacher,)

    def loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the ensemble's mean over all rows."""
        heard = step.hear(self.teachers[0])
        with torch.autocast(heard.logits.device.type, enabled=False):
            said = step.criterion.spread(mixed_answers(heard.logits, heard.weights[..., :1, :]))
            each, counts = step.criterion.loss(said, step.y)
            everybody = torch.ones(each.shape[:2], dtype=torch.bool, device=each.device)
            return masked_mean(each, everybody, counts)[0]
