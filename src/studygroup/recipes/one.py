"""On-the-fly Native Ensemble (ONE, NeurIPS 2018)."""

from collections.abc import Iterable

from torch import nn

from studygroup.checks import check_flag, check_pair
from studygroup.functional import Aggregate
from studygroup.group import Init
from studygroup.inputs import Inputs
from studygroup.objectives import Ensemble, Imitation, Supervised
from studygroup.objectives.probe import trunk
from studygroup.peers import branched
from studygroup.routes import Layer
from studygroup.schedules import ramp_up
from studygroup.task import CollaborativeLearning
from studygroup.teachers import Gate, pooled
from studygroup.teachers.learned import Pool


def one(
    model: nn.Module,
    *,
    layers: Iterable[Layer] | None = None,
    example: Inputs,
    students: int = 3,
    temperature: float = 3.0,
    ramp: tuple[float, float] = (0.0, 80 / 300),
    detach: bool = True,
    aggregate: Aggregate = "logits",
    scale_by_t2: bool = True,
    pool: Pool = pooled,
    init: Init = "fresh",
) -> CollaborativeLearning:
    """Train branches that learn from their own gated ensemble (Lan, Zhu and Gong 2018).

    L = Σ_k CE_k + CE_e + w(t) T² Σ_k KL(ψ(z_e; T) ‖ ψ(z_k; T)), z_e = Σ_k g_k z_k the ensemble, g the gate
    (`teachers.Gate`), CE_e its cross-entropy, `Losses.auxiliary["ensemble"]`. Any branch ships.

    Reading:
        Targets are constants, so that the gate learns from CE_e alone, as in the authors' public code; the later
        re-implementation of OKDDip's authors lets the gradient through.

    Departs:
        No 1e-7 is added to targets, as the public code does: 0 log 0 is 0 here, and an ε would bias gradients. The
        branch that is best on hold-out rows ships, where the paper deploys the first one.

    Args:
        model: the network to train and ship.
        layers: names of the layers of a branch, classifier included; omitted, the last group of blocks, as in the
            paper, and the head, see `layers.last_group`.
        example: one batch; run without gradient and side effects, it tells the width of the trunk.
        students: branches; 3 in the paper (the network and two more), and for images where CGL compares; 5 for
            texts there.
        temperature: T = 3 in the paper.
        ramp: start and end of w(t) = exp(−5 (1 − t/t_r)²) as shares of training; 80 of 300 epochs in the
            authors' public code, as in Laine and Aila (2017). The paper prints no ramp-up.
        detach: whether targets are constants.
        aggregate: the ensemble is made of logits, as printed.
        scale_by_t2: multiply imitation by T²; so in the paper's gradient argument and in the code.
        pool: maps the trunk to (rows, width), see `teachers.pooled`.
        init: how the second and further branches start, see `StudyGroup`.
    """
    group = branched(model, layers, students=students, init=init)
    gate = Gate(pool(trunk(group, example)).shape[1], students=students, pool=pool)
    imitation = Imitation(
        gate,
        temperature=temperature,
        weight=ramp_up(*check_pair("ramp", ramp)),
        moves_teachers=not check_flag("detach", detach),
        aggregate=aggregate,
        scale_by_t2=scale_by_t2,
    )
    return CollaborativeLearning(group, [Supervised(), imitation, Ensemble(gate)])
