"""Self-distillation from the network's own moving average (mean teacher, NeurIPS 2017)."""

from functools import partial
from typing import Literal

from torch import nn

from studygroup import bibliography
from studygroup.checks import check_choice, check_number, check_pair
from studygroup.group import StudyGroup
from studygroup.objectives import Imitation, Supervised
from studygroup.routes import independent
from studygroup.schedules import Schedule, ramp_up
from studygroup.task import CollaborativeLearning
from studygroup.teachers import Averages, Self

_PAPER = """@inproceedings{tarvainen2017mean,
  author    = {Tarvainen, Antti and Valpola, Harri},
  title     = {Mean Teachers Are Better Role Models: Weight-Averaged Consistency Targets Improve Semi-Supervised Deep
               Learning Results},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {30},
  year      = {2017}
}"""


def self_distillation(
    model: nn.Module,
    *,
    weight: float = 1.0,
    temperature: float = 1.0,
    ramp: tuple[float, float] = (0.0, 80 / 300),
    decay: float = 0.999,
    ships: Literal["average", "network"] = "average",
    scale_by_t2: bool = True,
) -> CollaborativeLearning:
    """Train one network on the labels and on the answers of its own moving average (Tarvainen and Valpola 2017).

    L = CE(y, ψ(z; 1)) + λ φ(t) T² KL(ψ(z̄; T) ‖ ψ(z; T)), z̄ the answer of the average θ̄ ← a θ̄ + (1−a) θ, taken after
    update g = 1, 2, … with a = min(1 − 1/(g+1), decay), and a constant; φ(t) = exp(−5 (1 − t/t_r)²). Average and
    network each have their own dropout masks, the noises η′ and η of the paper, and batch statistics.

    Reading:
        φ ends after 80 of 300 epochs, as in Laine and Aila (2017), on which the paper builds.

    Departs:
        All rows have labels, where the paper is about those that have none. Network and average see the same
        augmented rows; in the paper each has its own augmentation. KL, at a temperature, replaces the mean squared
        difference of the probabilities, with λ = 1: the paper compares the two and finds the square better.

    Args:
        model: the network to train and ship.
        weight: λ.
        temperature: T; the paper has none, which is 1.
        ramp: start and end of φ as shares of training.
        decay: largest share that the average keeps of itself in an update; 0.999 in the paper after its ramp-up.
        ships: whether the `"average"` is scored and ships, as in the paper, or the `"network"` itself.
        scale_by_t2: multiply imitation by T².

    Raises:
        ValueError: `ships` is neither, or a decay outside [0, 1].
    """
    check_choice("ships", ships, ("average", "network"))
    check_number("weight", weight)
    group = StudyGroup(model, independent(students=1))
    averages = Averages(group, decay=decay)
    own_average = Self(of=averages)
    own_average.sources = (_PAPER, bibliography.TEMPORAL_ENSEMBLING)
    imitation = Imitation(
        own_average,
        temperature=temperature,
        weight=partial(_times, weight, ramp_up(*check_pair("ramp", ramp))),
        scale_by_t2=scale_by_t2,
    )
    return CollaborativeLearning(
        group, [Supervised(), imitation], exports=averages if ships == "average" else None
    )


def _times(weight: float, schedule: Schedule, progress: float) -> float:
    return weight * schedule(progress)
