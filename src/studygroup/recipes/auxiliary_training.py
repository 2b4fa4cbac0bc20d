"""Auxiliary training: classifiers at inner layers, dropped at inference (Szegedy et al., CVPR 2015)."""

from collections.abc import Iterable

from torch import nn

from studygroup.checks import check_names
from studygroup.group import StudyGroup
from studygroup.inputs import Inputs
from studygroup.layers import first_groups
from studygroup.objectives import Capture, InnerClassifiers, Supervised, probe
from studygroup.routes import independent
from studygroup.task import CollaborativeLearning
from studygroup.teachers import pooled
from studygroup.teachers.learned import Pool


def auxiliary_training(
    model: nn.Module,
    *,
    inner: Iterable[str] | None = None,
    example: Inputs,
    weight: float = 0.3,
    pool: Pool = pooled,
) -> CollaborativeLearning:
    """Train one network with a classifier at each named inner layer: L = CE + 0.3 Σ_i CE_i.

    Departs:
        A classifier is pooling and one linear map, which serves any network; GoogLeNet's have a convolution and a
        second linear map.

    Args:
        model: the network to train and ship.
        inner: names of the inner layers whose outputs are classified; omitted, the ends of the network's first
            groups, see `layers.first_groups`.
        example: one batch; run without gradient and side effects, it tells the widths.
        weight: weight of the inner classifiers; 0.3 in the paper.
        pool: maps a layer's output to (rows, width), see `teachers.pooled`.
    """
    names = first_groups(model) if inner is None else tuple(check_names("inner", inner))
    group = StudyGroup(model, independent(students=1))
    seen = probe(group, example, capture=Capture(activations=names))
    widths = {name: pool(seen.activations[name][0]).shape[1] for name in names}
    classifiers = InnerClassifiers(widths, classes=seen.logits.shape[-1], weight=weight, pool=pool)
    return CollaborativeLearning(group, [Supervised(), classifiers])
