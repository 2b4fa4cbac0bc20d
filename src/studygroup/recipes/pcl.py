"""Peer Collaborative Learning (PCL, AAAI 2021)."""

from collections.abc import Iterable
from functools import partial

from torch import nn

from studygroup.checks import check_flag, check_pair
from studygroup.group import Init
from studygroup.inputs import Inputs
from studygroup.objectives import Capture, Ensemble, Imitation, Supervised, probe
from studygroup.peers import branched
from studygroup.routes import Layer
from studygroup.schedules import ramp_up
from studygroup.task import CollaborativeLearning
from studygroup.teachers import Averages, MeanOfOthers, PeerEnsemble, pooled
from studygroup.teachers.learned import Pool


def pcl(
    model: nn.Module,
    *,
    layers: Iterable[Layer] | None = None,
    example: Inputs,
    students: int = 3,
    temperature: float = 3.0,
    ramp: tuple[float, float] = (0.0, 80 / 300),
    decay: float = 0.999,
    detach: bool = True,
    scale_by_t2: bool = True,
    pool: Pool = pooled,
    init: Init = "fresh",
) -> CollaborativeLearning:
    """Train branches that learn from an ensemble of their features and from each other's averages (Wu & Gong 2021).

    L = Σ_k CE_k + CE_e + w(t) T² Σ_k [KL(ψ(z_e; T) ‖ ψ(z_k; T)) + 1/(K−1) Σ_{j≠k} KL(ψ(z̄_j; T) ‖ ψ(z_k; T))], z_e
    the answer of one classifier over the features of all (`teachers.PeerEnsemble`), z̄_j that of the moving average
    of student j (`teachers.Averages`). An average ships; all are equal.

    Reading:
        The numbers are those of the methods that the paper builds on (ONE; Tarvainen and Valpola's mean teacher);
        they were not checked against its text.

    Departs:
        All students see the same augmented rows; the paper augments anew for every student.

    Args:
        model: the network to train and ship.
        layers: names of the layers of a branch, classifier included; omitted, the last group of blocks and the head,
            see `layers.last_group`.
        example: one batch; run without gradient and side effects, it tells the width of the features.
        students: K = 3.
        temperature: T = 3.
        ramp: start and end of w(t) = exp(−5 (1 − t/t_r)²) as shares of training.
        decay: largest share that an average keeps of itself in a step.
        detach: whether the ensemble's answer is a constant to those that imitate it.
        scale_by_t2: multiply both imitations by T².
        pool: maps a student's features to (rows, width), see `teachers.pooled`.
        init: how the second and further branches start, see `StudyGroup`.
    """
    group = branched(model, layers, students=students, init=init)
    seen = probe(group, example, capture=Capture(features=True))
    assert seen.features is not None
    width = pool(seen.features[0]).shape[1]
    fused = PeerEnsemble(width, students=students, classes=seen.logits.shape[-1], pool=pool)
    averages = Averages(group, decay=decay)
    weight = ramp_up(*check_pair("ramp", ramp))
    imitation = partial(Imitation, temperature=temperature, weight=weight, scale_by_t2=scale_by_t2)
    objectives = [
        Supervised(),
        imitation(fused, moves_teachers=not check_flag("detach", detach)),
        Ensemble(fused),
        imitation(MeanOfOthers(of=averages), aggregate="divergences", name="mean_teachers"),
    ]
    return CollaborativeLearning(group, objectives, exports=averages)
