"""Deep Mutual Learning (CVPR 2018)."""

from torch import nn

from studygroup.checks import check_flag
from studygroup.group import Init
from studygroup.objectives import Imitation, Supervised
from studygroup.peers import separate
from studygroup.task import CollaborativeLearning
from studygroup.teachers import MeanOfOthers


def dml(
    model: nn.Module,
    *,
    students: int = 3,
    temperature: float = 1.0,
    detach: bool = True,
    scale_by_t2: bool = False,
    in_turn: bool = False,
    init: Init = "fresh",
) -> CollaborativeLearning:
    """Train independent networks, each of which imitates every other one (Zhang, Xiang, Hospedales and Lu 2018).

    L_k = CE_k + 1/(K−1) Σ_{j≠k} KL(p_j ‖ p_k), L = Σ_k L_k. Any student ships; all are equal.

    Targets are constants: each network is updated by its own loss alone.

    Departs:
        All students step together, on answers from before the step, as in re-implementations; `in_turn=True` is the
        paper's algorithm 1, and what the authors' code does.

    Args:
        model: the network to train and ship, or `Peers`: students of different architectures.
        students: K; 2 in the paper's tables, 3 for images and 5 for texts where CGL compares. Not asked of
            `Peers`.
        temperature: T = 1 in the paper, which has no temperature.
        detach: whether targets are constants.
        scale_by_t2: multiply imitation by T².
        in_turn: whether on every batch one network after another is updated, each on new answers of the others. That
            costs K forward passes of K networks, makes the result depend on the order, and needs a loop over
            `task.steps`.
        init: how the second and further networks start, see `StudyGroup`.
    """
    return CollaborativeLearning(
        separate(model, students=students, init=init),
        [
            Supervised(),
            Imitation(
                MeanOfOthers(),
                aggregate="divergences",
                temperature=temperature,
                moves_teachers=not check_flag("detach", detach),
                scale_by_t2=scale_by_t2,
            ),
        ],
        in_turn=in_turn,
    )
