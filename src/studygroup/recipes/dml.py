"""Deep Mutual Learning (CVPR 2018)."""

from torch import nn

from studygroup.collaborate import CollaborativeLearning
from studygroup.listen import Pairwise
from studygroup.peers import separate
from studygroup.surgery import Init


def dml(
    model: nn.Module,
    *,
    students: int = 3,
    temperature: float = 1.0,
    detach: bool = True,
    scale_by_t2: bool = False,
    init: Init = "fresh",
) -> CollaborativeLearning:
    """Independent networks, each of which imitates every other one (Zhang, Xiang, Hospedales and Lu 2018).

    L_k = CE_k + 1/(K−1) Σ_{j≠k} KL(p_j ‖ p_k), L = Σ_k L_k. Any student ships; all are equal.

    # departs: all students step together, on answers from before the step. The paper's algorithm 1 updates
    one network after another, each on answers that the others give anew, which costs K forward passes of K
    networks a batch and leaves the result to depend on the order.

    Args:
        model: the network to train and ship, or `Peers`: students of different architectures.
        students: K; 2 in the paper's tables, 3 for images and 5 for texts where CGL compares. Not asked of
            `Peers`.
        temperature: T = 1 in the paper, which has no temperature.
        detach: targets are constants. # reading: not printed; each network is updated by its own loss alone.
        scale_by_t2: multiply imitation by T².
        init: how the second and further networks start, see `StudyGroup`.
    """
    return CollaborativeLearning(
        separate(model, students=students, init=init),
        listen=Pairwise(),
        aggregate="probabilities",
        temperature=temperature,
        detach=detach,
        scale_by_t2=scale_by_t2,
    )
