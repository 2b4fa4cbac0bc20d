"""Collaborative learning of heads that share layers as a tree (Song and Chai, NeurIPS 2018, figure 1c)."""

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import nn

from studygroup import routes
from studygroup.functional import Divergence
from studygroup.group import Init, StudyGroup
from studygroup.objectives import song_chai
from studygroup.task import CollaborativeLearning


def tree(
    model: nn.Module,
    *,
    table: Mapping[routes.Layer, Sequence[int]],
    alpha: float = 0.5,
    temperature: float = 2.0,
    rescale_gradients: bool = True,
    divergence: Divergence = "cross_entropy",
    detach: bool = True,
    reduction: Literal["sum", "mean"] = "sum",
    init: Init = "fresh",
) -> CollaborativeLearning:
    """Train heads that share layers as a tree, each on the labels and on the mean answer of the others.

    The loss is that of `multi_instance`. Any head ships; all are equal.

    Two rules affect the learning rate: with a sum over heads every head learns at the rate of a plain network, and
    with rescaling what they share does so, too. With the mean in addition, the *whole* network learns at 1/H of that
    rate.

    Reading:
        Whether targets are constants is not printed; they are in a third party's code. The objective is quoted as a
        sum over heads; the intra-model paper prints the mean in its account of it. See docs/readings.md.

    Args:
        model: the network to train and ship.
        table: layer name to the module of each head, finer towards the output: `{"layer3": [0, 0, 1, 1],
            "layer4": [0, 1, 2, 3], "fc": [0, 1, 2, 3]}`. What is not named is shared by all.
        rescale_gradients: divide the gradient by the number of branches wherever students part (the paper's
            back-propagation rescaling). The heads' gradients otherwise add up in what they share.
        alpha: share of the supervised loss; 0.5 in the paper.
        temperature: T of the consensus; 2 in the paper.
        divergence: the paper's J_soft is a cross-entropy; `"kl"` has the same gradient and is 0 at agreement.
        detach: whether targets are constants.
        reduction: `"sum"` lets every head learn at the rate of a plain network; `"mean"` is 1/H of that.
        init: how the second and further modules start, see `StudyGroup`.

    Raises:
        ValueError: a layer has more modules than heads, which would stand idle, or there is one head, who has nobody
            to learn from.
    """
    for layer, row in table.items():
        if max(row, default=0) >= len(row) > 0:
            raise ValueError(
                f"layer {layer!r} of the tree has module {max(row)} and {len(row)} heads; number its modules "
                "from 0 on, without gaps"
            )
        if len(row) == 1:
            raise ValueError(
                f"layer {layer!r} of the tree has one head, who has nobody to learn from; give two or more"
            )
    return CollaborativeLearning(
        StudyGroup(model, routes.tree(table), init=init, rescale_gradients=rescale_gradients),
        song_chai(alpha, temperature, divergence, detach=detach),
        reduction=reduction,
    )
