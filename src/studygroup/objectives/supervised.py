"""Learning from the labels: every student by itself, and an ensemble of them."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from studygroup._engine.selection import to_device
from studygroup.functional import label_loss, masked_mean, mixed_answers
from studygroup.functional.precision import single
from studygroup.objectives.base import Objective, Step
from studygroup.schedules import Schedule
from studygroup.teachers import OneTeacher


class Supervised(Objective):
    """Every student learns from the labels of its rows: the mean cross-entropy CE(y, ψ(z_k; 1)).

    Args:
        weight: a number or a function of progress.
        name: see `Objective`.
    """

    def __init__(self, *, weight: float | Schedule = 1.0, name: str = "supervised") -> None:
        super().__init__(name=name, weight=weight)

    def loss(self, step: Step) -> Float[Tensor, " students"]:
        """Return each student's mean over the rows that it sees.

        Raises:
            ValueError: labels of another type, or, on the CPU, a label that is no class (a device would have to be
                waited for, and has an assertion of its own).
        """
        logits = single(step.outputs.logits)
        _check_labels(step.y, classes=logits.shape[-1])
        with torch.autocast(logits.device.type, enabled=False):
            return masked_mean(label_loss(logits, step.y), to_device(step.outputs.sees, logits.device))


class Ensemble(Objective):
    """A teacher that says one thing to all students learns from the labels itself: CE(y, ψ(z_e; 1)) (ONE, PCL).

    Args:
        teacher: such as `teachers.Gate`, or `teachers.PeerEnsemble`.
        weight: a number or a function of progress.
        name: see `Objective`.

    Raises:
        TypeError: a teacher that says something else to every student.
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
            return F.cross_entropy(mixed_answers(heard.logits, heard.weights[..., :1, :])[0], step.y)


def _check_labels(y: Tensor, *, classes: int) -> None:
    if y.dtype not in (torch.int64, torch.uint8) or y.ndim != 1:
        raise ValueError(
            f"labels of shape {tuple(y.shape)}, {y.dtype}; hand in one class index a row, of torch.int64"
        )
    if y.device.type != "cpu":
        return
    wrong = y[(y < 0) | (y >= classes)]
    if len(wrong):
        raise ValueError(
            f"label {int(wrong[0])} is not one of 0 to {classes - 1}, the classes that the network answers with; "
            "number labels from 0, and give the network as many classes"
        )
