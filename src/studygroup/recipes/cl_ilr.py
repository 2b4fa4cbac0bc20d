"""Collaborative learning with shared intermediate representations (CL-ILR: Song and Chai, NeurIPS 2018)."""

from collections.abc import Iterable
from typing import Literal

from torch import nn

from studygroup import routes
from studygroup.checks import check_whole
from studygroup.functional import Divergence
from studygroup.group import Init
from studygroup.objectives import song_chai
from studygroup.peers import branched
from studygroup.task import CollaborativeLearning


def cl_ilr(
    model: nn.Module,
    *,
    layers: Iterable[routes.Layer] | None = None,
    students: int = 3,
    alpha: float = 0.5,
    temperature: float = 2.0,
    rescale_gradients: bool = True,
    divergence: Divergence = "cross_entropy",
    detach: bool = True,
    reduction: Literal["sum", "mean"] = "sum",
    init: Init = "fresh",
) -> CollaborativeLearning:
    """Train branches on a shared trunk, each on the labels and on the mean answer of the others.

    The loss is that of `multi_instance`; the trunk's gradient is rescaled. Any branch ships; all are equal.

    Two rules affect the learning rate: with a sum over heads every head learns at the rate of a plain network, and
    with rescaling what they share does so, too. With the mean in addition, the *whole* network learns at 1/H of that
    rate.

    Reading:
        Whether targets are constants is not printed; they are in a third party's code. The objective is quoted as a
        sum over heads; the intra-model paper prints the mean in its account of it. See docs/readings.md.

    Args:
        model: the network to train and ship.
        layers: names of the layers of a branch, classifier included: `["layer4", "fc"]`. Omitted, the last group of
            blocks and the head, see `layers.last_group`, where the methods that CGL compares with part.
        students: H, the number of branches; 3 for images and 5 for texts where CGL compares.
        rescale_gradients: divide the gradient by the number of branches wherever students part (the paper's
            back-propagation rescaling). The heads' gradients otherwise add up in what they share.
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
    group = branched(model, layers, students=students, init=init, rescale_gradients=rescale_gradients)
    objectives = song_chai(alpha, temperature, divergence, detach=detach)
    return CollaborativeLearning(group, objectives, reduction=reduction)
