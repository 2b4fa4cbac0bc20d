"""Collaborative Group Learning (AAAI 2021)."""

from collections.abc import Iterable
from typing import Literal

from torch import nn

from studygroup.checks import check_flag, check_pair, check_whole
from studygroup.group import Init, StudyGroup
from studygroup.layers import blocks
from studygroup.objectives import Imitation, Supervised
from studygroup.ownership import SharedRows, Subsets
from studygroup.routes import Layer, random
from studygroup.schedules import ramp_up
from studygroup.task import CollaborativeLearning
from studygroup.teachers import RandomSubgroup


def cgl(
    model: nn.Module,
    *,
    layers: Iterable[Layer] | None = None,
    students: int = 8,
    modules: int = 2,
    probability: float = 0.25,
    selection: Literal["fixed", "bernoulli"] = "fixed",
    include_self: bool = False,
    subsets: bool = True,
    overlap: float = 0.0,
    temperature: float = 1.0,
    ramp: tuple[float, float] = (0.0, 0.2),
    distinct: bool = True,
    peers: Literal["joint", "train", "eval"] = "joint",
    peers_gradient: bool = True,
    scale_by_t2: bool = False,
    init: Init = "fresh",
    structure: int | None = None,
    seed: int = 0,
) -> CollaborativeLearning:
    """Train random paths on sub-sets of the data, each imitating a random sub-group (CGL).

    L = Σ_k (CE_k + φ(t) KL(ψ(z_t; T) ‖ ψ(z_k; T))) (equation 6), z_t the mean answer of a random sub-group
    (equation 5), φ the ramp-up of equation 7. Each student learns from its own part of the training set: pass
    `owner` to the task, `batch size` rows for every student.

    Reading:
        "9 layers of modules" in ResNet-18 are the stem and the 8 residual blocks, and all students share one
        classifier. A `"fixed"` sub-group has a constant number of peers and constant cost, as in the paper's account
        of its cost; `"bernoulli"` with the expected number as divisor follows equation 5. Whether peers' answers are
        constants is not printed: by default they are not, as no equation stops the gradient, table 4 has more without
        shared modules than constants could pass on, and the appendix counts "(forward, backward)" steps for peers;
        see docs/methods/cgl.md.

    Departs:
        Paths are distinct and every module is used, as far as the numbers allow; `distinct=False` draws uniformly, as
        printed.

    Args:
        model: the network to train and ship.
        layers: names of the layers to route; omitted, the stem and every block, see `layers.blocks`.
        students: K = 8 in the paper.
        modules: modules per layer, M = 2 in the paper.
        probability: imitating probability p in [0, 1]; 0.25 for images, 0.5 for texts in the paper. At 0 nobody
            imitates anybody: the loss is Σ_k CE_k.
        selection: `"fixed"`, equally many peers for each student, or `"bernoulli"`, each pair drawn by itself.
        include_self: whether a student may be drawn into its own sub-group; the sum of equation 5 runs over
            all K, "selects which students to imitate" leaves it open. The default is no.
        subsets: whether each student has a sub-set of its own; `False` is the ablation "w/o SDL" of table 4.
        overlap: share of the rows that sub-sets have beyond their own part, in [0, 1]; the paper's cure for
            under-fitting.
        temperature: T, of targets and students alike (equation 4); not printed. 1 is our choice, by hold-out rows,
            see docs/methods/cgl.md; 3 needs `scale_by_t2`.
        ramp: start and end of the ramp-up as shares of training; the paper's default is the first 20 %.
        distinct: whether no two students take the same path.
        peers: how consulted peers answer, see `CollaborativeLearning` and docs/batch-normalisation.md. `"joint"`, one
            pass with the owners, is as good as two and cheaper where peers are moved; where they are constants,
            `"train"` is cheaper.
        peers_gradient: whether the loss also trains the peers that are imitated. With `False` their answers are
            constants, as in ONE's and DML's algorithms.
        scale_by_t2: multiply imitation by T²; none is printed.
        init: how the second and further modules of a layer start, see `StudyGroup`; the paper is silent. With
            `"copy"` students who share all rows (`subsets=False`, no dropout) would stay one network.
        structure: seed of the route table, if other than `seed`, so that one structure can be trained
            with several seeds and on several data sets (table 7); omitted, `seed`.
        seed: seed of routes and sub-groups.
    """
    drawn = seed if structure is None else check_whole("structure", structure)
    given = Subsets(overlap)
    routes = random(
        blocks(model) if layers is None else layers,
        students=students,
        modules=modules,
        seed=drawn,
        distinct=distinct,
    )
    return CollaborativeLearning(
        StudyGroup(model, routes, init=init, share_head=True),
        [
            Supervised(),
            Imitation(
                RandomSubgroup(probability, selection=selection, include_self=include_self),
                temperature=temperature,
                weight=ramp_up(*check_pair("ramp", ramp)),
                moves_teachers=check_flag("peers_gradient", peers_gradient),
                scale_by_t2=scale_by_t2,
            ),
        ],
        rows=given if check_flag("subsets", subsets) else SharedRows(),
        peers=peers,
        seed=seed,
    )
