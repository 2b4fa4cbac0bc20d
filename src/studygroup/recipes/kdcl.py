"""Online Knowledge Distillation via Collaborative Learning (KDCL, CVPR 2020)."""

from collections.abc import Callable

from torch import nn

from studygroup.checks import check_flag
from studygroup.group import Init
from studygroup.objectives import Imitation, Supervised
from studygroup.peers import separate
from studygroup.task import CollaborativeLearning
from studygroup.teachers import MinLogit, OneTeacher


def kdcl(
    model: nn.Module,
    *,
    students: int = 3,
    teacher: Callable[[], OneTeacher] = MinLogit,
    temperature: float = 2.0,
    weight: float = 1.0,
    detach: bool = True,
    scale_by_t2: bool = True,
    init: Init = "fresh",
) -> CollaborativeLearning:
    """Train independent networks that imitate one teacher, made of their answers and the label (Guo et al. 2020).

    L = Σ_k [CE_k + λ T² KL(ψ(z_t; T) ‖ ψ(z_k; T))], z_t of `teachers.MinLogit`, of `teachers.BestStudent`
    (KDCL-Naive), of `teachers.LinearTeacher` or of `teachers.GeneralTeacher`. Any student ships.

    Reading:
        The defaults of T and λ are our choice of usual values; set them for the data set at hand.

    Departs:
        All students see the same augmented rows; the paper augments anew for every student. KDCL-General's weights
        are measured on training batches, see `teachers.GeneralTeacher`.

    Args:
        model: the network to train and ship, or `Peers`: students of different capacity, the paper's case.
        students: K; 3 for images and 5 for texts where CGL compares. Not asked of `Peers`.
        teacher: how the teacher is made: one of those classes, or `functools.partial` of it with arguments.
        temperature: T.
        weight: λ.
        detach: whether the teacher is a constant.
        scale_by_t2: multiply imitation by T².
        init: how the second and further networks start, see `StudyGroup`.
    """
    return CollaborativeLearning(
        separate(model, students=students, init=init),
        [
            Supervised(),
            Imitation(
                teacher(),
                temperature=temperature,
                weight=weight,
                moves_teachers=not check_flag("detach", detach),
                scale_by_t2=scale_by_t2,
            ),
        ],
    )
