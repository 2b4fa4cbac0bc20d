"""Online Knowledge Distillation with Diverse Peers (OKDDip, AAAI 2020)."""

from collections.abc import Iterable

from torch import nn

from studygroup.checks import check_pair, check_whole
from studygroup.functional import Aggregate
from studygroup.group import Init
from studygroup.inputs import Inputs
from studygroup.objectives import Imitation, Supervised
from studygroup.objectives.probe import features
from studygroup.peers import branched
from studygroup.routes import Layer
from studygroup.schedules import ramp_up
from studygroup.task import CollaborativeLearning
from studygroup.teachers import PeerAttention, pooled
from studygroup.teachers.learned import Pool


def okddip(
    model: nn.Module,
    *,
    layers: Iterable[Layer] | None = None,
    example: Inputs,
    students: int = 4,
    temperature: float = 3.0,
    ramp: tuple[float, float] = (0.0, 80 / 300),
    reduction: int = 8,
    include_self: bool = True,
    aggregate: Aggregate = "logits",
    scale_by_t2: bool = True,
    pool: Pool = pooled,
    init: Init = "fresh",
) -> CollaborativeLearning:
    """Train peers that weigh each other by attention, and a leader that learns from their mean (Chen et al. 2020).

    L = Σ CE + w(t) T² (Σ_peers KL(ψ(Σ_b A_ab z_b; T) ‖ ψ(z_a; T)) + KL(ψ(mean of peers; T) ‖ ψ(z_leader; T))),
    A the attention of `teachers.PeerAttention`, which leaves the leader out. The leader, the last student, ships.
    `task.teachers[0].entropy` is the mean entropy of a peer's weights over the peers.

    Reading:
        Whether targets are constants is not printed; the attention learns through them alone, and the public code
        lets them move the peers too. Logits are averaged, as in that code and the caption of figure 1; an equation
        can be read as averaging softened `"probabilities"`. "3 students" where CGL compares (5 for texts) leaves
        open whether the leader is one of them.

    Args:
        model: the network to train and ship.
        layers: names of the layers of a branch, classifier included; omitted, the last group of blocks and the head,
            see `layers.last_group`. `[""]`, the whole model, is the paper's network-based variant.
        example: one batch; run without gradient and side effects, it tells the width of the features.
        students: peers and the leader; 4, three peers and a leader, in the paper.
        temperature: T = 3 in the paper.
        ramp: start and end of w(t) = exp(−5 (1 − t/t_r)²) as shares of training; 80 of 300 epochs in the
            authors' public code, as in Laine and Aila (2017).
        reduction: width of the features over that of queries and keys; 8 in the public code.
        include_self: whether a peer attends to itself, as printed.
        aggregate: what is averaged, `"logits"` or `"probabilities"`.
        scale_by_t2: multiply imitation by T², as printed.
        pool: maps a student's features to (rows, width), see `teachers.pooled`.
        init: how the second and further students start, see `StudyGroup`.

    Raises:
        ValueError: fewer than three students.
    """
    leader = check_whole("students", students, least=3) - 1
    group = branched(model, layers, students=students, init=init, leader=leader)
    width = pool(features(group, example)).shape[1]
    attention = PeerAttention(width, leader=leader, reduction=reduction, include_self=include_self, pool=pool)
    imitation = Imitation(
        attention,
        temperature=temperature,
        weight=ramp_up(*check_pair("ramp", ramp)),
        moves_teachers=True,
        aggregate=aggregate,
        scale_by_t2=scale_by_t2,
    )
    return CollaborativeLearning(group, [Supervised(), imitation])
