"""Intra-model collaborative learning: four ways of learning inside one network (Fang & Lin 2021)."""

from collections.abc import Callable, Sequence
from functools import cache, partial

from torch import nn

from studygroup._engine.capture import Layer
from studygroup.checks import check_names, check_number, check_whole
from studygroup.functional import Statistic
from studygroup.group import StudyGroup
from studygroup.inputs import Inputs
from studygroup.layers import ConvLayer, convolution_groups, convolution_layers, dropout_layers, view_dropouts
from studygroup.objectives import (
    KernelDecorrelation,
    LocalClassifiers,
    Objective,
    PullPush,
    Supervised,
    probe,
    shapes,
    song_chai,
)
from studygroup.objectives.local import Shapes
from studygroup.routes import Routes, hierarchical_dropout, independent
from studygroup.task import CollaborativeLearning


def intra(
    model: nn.Module,
    *,
    example: Inputs,
    out: float = 0.0,
    mid: float | Callable[[Shapes, int], LocalClassifiers] = 0.0,
    pull_push: float | Callable[[Shapes, int], PullPush] = 0.0,
    kernel: float | Callable[[Sequence[str]], KernelDecorrelation] = 0.0,
    views: int = 2,
    dropouts: Sequence[str] = (),
    alpha: float = 0.5,
    temperature: float = 2.0,
    inner: Sequence[str] = (),
    source: str = "",
    source_statistic: Statistic = "deviation",
    kernels: Sequence[str] = (),
) -> CollaborativeLearning:
    """Train one network whose parts teach each other: (L_out or CE) + Σ L_mid + w₁ Σ L_pull-push + w₂ Σ L_kernel.

    Each part is a weight, 0 for off; the last three may also be a function that builds their module:
    `mid=functools.partial(LocalClassifiers, alpha=0.1)`. L_out (equation 4) is the loss of Song and Chai over
    views of one network, made by sampling its last dropout layers several times; it takes the place of the labels'
    loss. The others are `objectives.LocalClassifiers`, `PullPush` and `KernelDecorrelation`; L_mid and L_pull-push
    train single layers, and nothing of any part ships.

    Args:
        model: the network to train and ship.
        example: one batch; run without gradient and side effects, it tells layers and their sizes.
        out: weight of L_out; 1 in the paper.
        mid: weight of Σ L_mid; 1 in the paper, whose 0.05 are the module's own `alpha` and `beta`.
        pull_push: w₁; found by grid search in the paper and not printed, and so is w₂.
        kernel: w₂.
        views: how often each dropout layer is sampled, K = 2: K^n views of n layers.
        dropouts: names of these layers. Omitted, the last two that a training pass calls, which in the paper's
            networks are all, but none inside a residual connection, where rows cannot part.
        alpha: share of the supervised loss in L_out; 0.5 in the paper.
        temperature: temperature of L_out; T = 2 in the paper.
        inner: names of the layers that L_mid and L_pull-push train, from the input to the output. Omitted, each
            convolution on the longest path with its norm and the activation that follows: 17 in ResNet-18, 13 in
            VGG-16. Outputs of three axes are taken for tokens, (rows, tokens, width), as of a transformer's blocks.
        source: the layer whose output stands for the input in L_pull-push; needed where the input is token ids. This
            and the next are asked where `pull_push` is a weight.
        source_statistic: statistic of the input in L_pull-push. `"flatten"` compares whole pictures and is needed
            where they are grey: a single deviation carries no information, and two rows centred over three channels
            lie on a circle.
        kernels: names of the layers of L_kernel. Omitted, the convolutions of the last two groups, a group being
            consecutive convolutions with outputs of one size.

    Raises:
        ValueError: all parts off; `out` with one view, or for a network without dropout, or whose last dropouts are
            inside residual connections, or `dropouts` that drop nothing; `mid`, `pull_push` or `kernel` for one
            without convolutions and without names; a weight that is neither a finite number nor a function.
    """
    for name, weight in (("out", out), ("mid", mid), ("pull_push", pull_push), ("kernel", kernel)):
        check_number(name, 0.0 if callable(weight) and name != "out" else weight)
    for name, names in (("dropouts", dropouts), ("inner", inner), ("kernels", kernels)):
        check_names(name, names)
    if not (out or mid or pull_push or kernel):
        raise ValueError(
            "all parts of intra are off, which is the plain network: give some a weight, as out=1.0, mid=1.0, "
            "pull_push=0.01 or kernel=0.01, or take baseline"
        )
    if out:
        check_whole("views", views, least=2)  # one view has none to learn from
    group = StudyGroup(model, _views(model, example, dropouts, views) if out else independent(students=1))
    convolutions = cache(partial(convolution_layers, model, example))  # one dry run, however many ask
    parts: list[Objective] = []
    if mid or pull_push:
        found = _layers(convolutions, group, example, inner)
        classes = probe(group, example).logits.shape[-1]
        if mid:
            parts.append(_maker(mid, LocalClassifiers)(found, classes))
        if pull_push:
            usual = partial(PullPush, source=source, source_statistic=source_statistic)
            parts.append(_maker(pull_push, usual)(found, classes))
    if kernel:
        parts.append(_maker(kernel, KernelDecorrelation)(kernels or _last_groups(convolutions())))
    of_students = song_chai(alpha, temperature, weight=out) if out else [Supervised()]
    return CollaborativeLearning(group, [*of_students, *parts], reduction="mean")


def _maker(
    part: float | Callable[..., Objective], usual: Callable[..., Objective]
) -> Callable[..., Objective]:
    """Return the function that builds a part: the one given, or the default with a weight."""
    return part if callable(part) else partial(usual, weight=part)


def _views(model: nn.Module, example: Inputs, dropouts: Sequence[str], views: int) -> Routes:
    """Return views of the dropout layers that are named, else of the last two that rows can part at."""
    dropping = dropout_layers(model, example)
    wrong = [name for name in dropouts if name not in dropping]
    if wrong:
        raise ValueError(
            f"layer {wrong[0]!r} is not one that drops something in training; those are {', '.join(dropping)}"
        )
    names = tuple(dropouts) or tuple(n for n, reason in view_dropouts(model, example).items() if not reason)
    if not names:
        raise ValueError(
            f"the last dropout layers, {' and '.join(dropping[-2:])}, are inside residual connections, where rows "
            "cannot part; name others with dropouts=[...], or give the classifier one"
        )
    return hierarchical_dropout(names, views=views)


def _last_groups(convolutions: Sequence[ConvLayer]) -> tuple[str, ...]:
    """Return the names of the convolutions of the last two groups."""
    groups = convolution_groups(convolutions)[-2:]
    return tuple(layer.convolution for group in groups for layer in group)


def _layers(
    convolutions: Callable[[], Sequence[ConvLayer]],
    group: StudyGroup,
    example: Inputs,
    inner: Sequence[str],
) -> Shapes:
    """Return the layers to train by themselves, with the shape of one row of their outputs."""
    if not inner:
        layers = [
            Layer((layer.convolution, *([layer.norm] if layer.norm else [])), activated=True)
            for layer in convolutions()
        ]
        return shapes(group, example, layers=layers)
    named = shapes(group, example, layers=[Layer((name,)) for name in inner])
    return {Layer(layer.modules, tokens=len(shape) == 2): shape for layer, shape in named.items()}
