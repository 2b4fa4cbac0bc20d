"""Collaborative learning of several instances of one network (Song and Chai, NeurIPS 2018, figure 1b)."""

from typing import Literal

from torch import nn

from studygroup.checks import check_whole
from studygroup.functional import Divergence
from studygroup.group import Init, StudyGroup
from studygroup.objectives import song_chai
from studygroup.routes import independent
from studygroup.task import CollaborativeLearning


def multi_instance(
    model: nn.Module,
    *,
    students: int = 3,
    alpha: float = 0.5,
    temperature: float = 2.0,
    divergence: Divergence = "cross_entropy",
    detach: bool = True,
    reduction: Literal["sum", "mean"] = "sum",
    init: Init = "fresh",
) -> CollaborativeLearning:
    """Train independent networks, each on the labels and on the mean answer of the others.

    L = Σ_h [α J_hard + (1−α) J_soft], J_hard = CE(y, ψ(z_h; 1)), J_soft = −Σ_c q_h log ψ(z_h; T), and
    q_h = ψ(mean of the other heads' logits; T). Any student ships; all are equal.

    Reading:
        Whether targets are constants is not printed; they are in a third party's code. The objective is quoted as a
        sum over heads; the intra-model paper prints the mean in its account of it. See docs/readings.md.

    Args:
        model: the network to train and ship.
        students: H, the number of heads; 3 for images and 5 for texts where CGL compares.
        alpha: share of the supervised loss; 0.5 in the paper.
        temperature: T of the consensus; 2 in the paper.
        divergence: the paper's J_soft is a cross-entropy; `"kl"` has the same gradient and is 0 at agreement.
        detach: whether targets are constants.
        reduction: `"sum"` lets every head learn at the rate of a plain network; `"mean"` is 1/H of that.
        init: how the second and further modules start, see `StudyGroup`.

    Raises:
        ValueError: fewer than two students: one has nobody to learn from, and would have half of the labels' loss.
    """
    check_whole("students", students, least=2)
    return CollaborativeLearning(
        StudyGroup(model, independent(students=students), init=init),
        song_chai(alpha, temperature, divergence, detach=detach),
        reduction=reduction,
    )
