"""Learning from a teacher: the distance of every student's answers from its targets."""

import torch
from jaxtyping import Float
from torch import Tensor

from studygroup import bibliography
from studygroup._engine.selection import to_device
from studygroup.checks import check_choice, check_flag, check_kind, check_number, check_share
from studygroup.functional import Divergence, masked_mean
from studygroup.functional.precision import single
from studygroup.objectives.base import Objective, Step
from studygroup.objectives.criteria import Average, Comparison
from studygroup.objectives.supervised import Supervised
from studygroup.schedules import Schedule
from studygroup.teachers import MeanOfOthers, Teacher

_DIVERGENCES: tuple[Divergence, ...] = ("kl", "cross_entropy")
_AVERAGES: tuple[Average, ...] = ("logits", "probabilities", "divergences")


class Imitation(Objective):
    """Every student imitates a teacher on its rows: the mean of D(q_k, ψ(z_k; T)), ψ(z; T) = softmax(z / T).

    Args:
        teacher: what students imitate.
        temperature: T > 0, of targets and students.
        weight: weight in the total: a number or a function of progress, such as `schedules.ramp_up(0.0, 0.2)`.
        divergence: `"kl"` or `"cross_entropy"`, see `functional.imitation_loss`.
        aggregate: what is averaged over a student's teachers: `"logits"`, q_k = ψ(Σ_j w_kj z_j; T) (CGL,
            ONE), `"probabilities"`, q_k = Σ_j w_kj ψ(z_j; T), or `"divergences"`, Σ_j w_kj D(ψ(z_j; T), ψ(z_k; T))
            (DML).
        moves_teachers: whether targets have a gradient, which trains the imitated students, and a teacher with
            parameters. By default targets are constants.
        scale_by_t2: multiply by T².
        name: see `Objective`.

    Raises:
        ValueError: a temperature that is not positive and finite, an unknown `divergence` or `aggregate`, or no
            teacher.
    """

    def __init__(
        self,
        teacher: Teacher,
        *,
        temperature: float = 1.0,
        weight: float | Schedule = 1.0,
        divergence: Divergence = "kl",
        aggregate: Average = "logits",
        moves_teachers: bool = False,
        scale_by_t2: bool = False,
        name: str = "imitation",
    ) -> None:
        super().__init__(name=name, weight=weight)
        self.teachers = (check_kind("teacher", teacher, Teacher, "one of studygroup.teachers"),)
        self.temperature = check_number("temperature", temperature, above=0)
        self.divergence: Divergence = check_choice("divergence", divergence, _DIVERGENCES)
        self.aggregate: Average = check_choice("aggregate", aggregate, _AVERAGES)
        self.moves_teachers = check_flag("moves_teachers", moves_teachers)
        self.scale_by_t2 = check_flag("scale_by_t2", scale_by_t2)
        mutual = aggregate == "divergences" and teacher.of is None
        self.sources = (bibliography.DML,) if mutual else teacher.sources

    def loss(self, step: Step) -> Float[Tensor, " students"]:
        """Return each student's mean over the rows on which it is supervised."""
        heard = step.hear(self.teachers[0])
        logits = single(step.outputs.logits)
        criterion = step.criterion
        how = Comparison(
            self.temperature,
            self.divergence,
            self.aggregate,
            self.scale_by_t2,
            constant=not self.moves_teachers,
        )
        with torch.autocast(logits.device.type, enabled=False):
            said = criterion.spread(heard.logits.to(logits))
            each = criterion.imitation(criterion.spread(logits), said, heard.weights, how)
            return masked_mean(each, to_device(step.outputs.sees, logits.device), criterion.labelled(step.y))


def song_chai(
    alpha: float,
    temperature: float,
    divergence: Divergence = "cross_entropy",
    *,
    detach: bool = True,
    weight: float = 1.0,
) -> list[Objective]:
    """Return α J_hard + (1−α) J_soft: the labels, and the mean of the others' logits (Song and Chai 2018).

    J_hard = CE(y, ψ(z_h; 1)), J_soft = −Σ_c q_h log ψ(z_h; T), q_h = ψ(mean of the other heads' logits; T).

    Args:
        alpha: α, in [0, 1].
        temperature: T > 0.
        divergence: divergence of J_soft; `"kl"` has the same gradient and is 0 at agreement.
        detach: whether q_h is a constant.
        weight: weight of both.

    Raises:
        ValueError: α outside [0, 1], or as `Imitation`.
    """
    check_share("alpha", alpha, of="the labels")
    check_number("weight", weight)
    imitation = Imitation(
        MeanOfOthers(),
        temperature=temperature,
        weight=weight * (1 - alpha),
        divergence=divergence,
        moves_teachers=not check_flag("detach", detach),
    )
    return [Supervised(weight=weight * alpha), imitation]
