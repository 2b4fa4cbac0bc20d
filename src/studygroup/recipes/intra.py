"""Intra-model collaborative learning: four ways of learning inside one network (Fang & Lin 2021)."""

from collections.abc import Sequence

from torch import nn

from studygroup.auxiliary import Auxiliary, KernelDecorrelation, LocalClassifiers, PullPush
from studygroup.auxiliary.local import Shapes
from studygroup.collaborate import CollaborativeLearning
from studygroup.group import StudyGroup
from studygroup.inputs import Inputs
from studygroup.layers import convolution_groups, convolution_layers, dropout_layers
from studygroup.listen import MeanOfOthers
from studygroup.probe import probe, shapes
from studygroup.routes import hierarchical_dropout, independent
from studygroup.taps import Layer


def intra(
    model: nn.Module,
    *,
    example: Inputs,
    out: float = 0.0,
    mid: float | LocalClassifiers = 0.0,
    pull_push: float | PullPush = 0.0,
    kernel: float | KernelDecorrelation = 0.0,
    views: int = 2,
    dropouts: Sequence[str] = (),
    alpha: float = 0.5,
    temperature: float = 2.0,
    inner: Sequence[str] = (),
    source: str = "",
    kernels: Sequence[str] = (),
) -> CollaborativeLearning:
    """One network whose parts learn from each other: L = (L_out or CE) + Σ L_mid + w₁ Σ L_pull-push + w₂ Σ L_kernel.

    Each part is a weight, 0 for off, or a configured module. L_out (equation 4) is the loss of Song and Chai over
    views of one network, made by sampling its last dropout layers several times; it takes the place of the labels'
    loss. The others are `auxiliary.LocalClassifiers`, `PullPush` and `KernelDecorrelation`; L_mid and L_pull-push
    train single layers, and nothing of any part ships.

    Args:
        model: the network to train and ship.
        example: one batch; run without gradient and without trace, it tells layers and their sizes.
        out: weight of L_out; 1 in the paper.
        mid: weight of Σ L_mid; 1 in the paper, whose 0.05 are the module's own `alpha` and `beta`.
        pull_push: w₁; found by grid search in the paper and not printed, and so is w₂.
        kernel: w₂.
        views: how often each dropout layer is sampled, K = 2: K^n views of n layers.
        dropouts: names of these layers. Omitted, the last two that a training pass calls, which in the paper's
            networks are all.
        alpha: share of the supervised loss in L_out; 0.5 in the paper.
        temperature: of L_out; T = 2 in the paper.
        inner: names of the layers that L_mid and L_pull-push train, from the input to the output. Omitted, each
            convolution on the longest way with its norm and the activation that follows: 17 in ResNet-18, 13 in
            VGG-16. Outputs of three axes are taken for tokens, (rows, tokens, width), as of a transformer's blocks.
        source: the layer whose output stands for the input in L_pull-push; needed where the input is token ids.
        kernels: names of the layers of L_kernel. Omitted, the convolutions of the last two groups, a group being
            convolutions in a row whose outputs are equally large.

    Raises:
        ValueError: `out` for a network without dropout, `mid` or `pull_push` or `kernel` for one without
            convolutions and without names.
    """
    if out:
        names = tuple(dropouts) or dropout_layers(model, example)[-2:]
        group = StudyGroup(model, hierarchical_dropout(names, views=views))
    else:
        group = StudyGroup(model, independent(students=1))
    parts: list[Auxiliary] = []
    if isinstance(mid, LocalClassifiers) or mid or isinstance(pull_push, PullPush) or pull_push:
        parts += _inner(model, group, example, mid=mid, pull_push=pull_push, inner=inner, source=source)
    if isinstance(kernel, KernelDecorrelation):
        parts.append(kernel)
    elif kernel:
        last = convolution_groups(convolution_layers(model, example))[-2:] if not kernels else ()
        names = tuple(kernels) or tuple(layer.convolution for one in last for layer in one)
        parts.append(KernelDecorrelation(names, weight=kernel))
    return CollaborativeLearning(
        group,
        listen=MeanOfOthers() if out else None,
        supervised_weight=out * alpha if out else 1.0,
        imitation_weight=out * (1 - alpha),
        temperature=temperature,
        divergence="cross_entropy",
        reduction="mean",
        auxiliary=parts,
    )


def _inner(
    model: nn.Module,
    group: StudyGroup,
    example: Inputs,
    *,
    mid: float | LocalClassifiers,
    pull_push: float | PullPush,
    inner: Sequence[str],
    source: str,
) -> list[Auxiliary]:
    """The objectives that train single layers."""
    found = _layers(model, group, example, inner)
    classes = probe(group, example).logits.shape[-1]
    parts: list[Auxiliary] = []
    if isinstance(mid, LocalClassifiers):
        parts.append(mid)
    elif mid:
        parts.append(LocalClassifiers(found, classes=classes, weight=mid))
    if isinstance(pull_push, PullPush):
        parts.append(pull_push)
    elif pull_push:
        parts.append(PullPush(found, classes=classes, weight=pull_push, source=source))
    return parts


def _layers(model: nn.Module, group: StudyGroup, example: Inputs, inner: Sequence[str]) -> Shapes:
    """The layers to train by themselves, and the shape of one row of their outputs."""
    if not inner:
        layers = [
            Layer((layer.convolution, *([layer.norm] if layer.norm else [])), activated=True)
            for layer in convolution_layers(model, example)
        ]
        return shapes(group, example, layers=layers)
    named = shapes(group, example, layers=[Layer((name,)) for name in inner])
    return {Layer(layer.modules, tokens=len(shape) == 2): shape for layer, shape in named.items()}
