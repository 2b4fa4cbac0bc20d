"""Be Your Own Teacher: self distillation (ICCV 2019)."""

from collections.abc import Iterable

from torch import Tensor, nn

from studygroup.checks import check_flag, check_names
from studygroup.group import StudyGroup
from studygroup.inputs import Inputs
from studygroup.layers import first_groups
from studygroup.objectives import Bottleneck, Capture, LinearFeatures, SelfDistillation, Supervised
from studygroup.objectives.probe import probe, smallest_map
from studygroup.routes import independent
from studygroup.task import CollaborativeLearning
from studygroup.teachers import pooled
from studygroup.teachers.learned import Pool


def byot(
    model: nn.Module,
    *,
    inner: Iterable[str] | None = None,
    example: Inputs,
    alpha: float = 0.3,
    feature_weight: float = 0.03,
    temperature: float = 3.0,
    convolutions: bool = True,
    pool: Pool = pooled,
) -> CollaborativeLearning:
    """Train one network whose inner classifiers learn from its deepest one (Zhang et al. 2019).

    L = CE_C + Σ_i [(1−α) CE_i + α KL(ψ(z_C; T) ‖ ψ(z_i; T)) + λ ‖F_i − F_C‖²]. Inner classifiers
    never ship.

    Reading:
        ‖·‖² is the squared norm, as printed, of each row's difference, mean over rows; the authors' later public code
        has the norm of the whole batch's. Features are compared after pooling, as in that code. No T² is printed.

    Departs:
        Layers whose outputs are no maps, and all with `convolutions=False`, get pooling and one linear map, which
        serves any network. Bottlenecks of thin networks have fewer channels in between than the public code's 128.

    Args:
        model: the network to train and ship.
        inner: names of the layers after which the network is cut, such as `["layer1", "layer2", "layer3"]`; omitted,
            the ends of its first groups, see `layers.first_groups`.
        example: one batch; run without gradient and side effects, it tells the widths.
        alpha: share of imitation; 0.3 in the authors' later public code.
        feature_weight: λ; 0.03 there.
        temperature: T = 3 there.
        convolutions: whether layers whose outputs are maps (rows, channels, height, width) get the paper's
            bottlenecks of convolutions, see `objectives.Bottleneck`; `False` for maps in another order of axes.
        pool: maps a layer's output to (rows, width), see `teachers.pooled`.
    """
    check_flag("convolutions", convolutions)
    names = first_groups(model) if inner is None else tuple(check_names("inner", inner))
    group = StudyGroup(model, independent(students=1))
    seen = probe(group, example, capture=Capture(activations=names, features=True))
    assert seen.features is not None
    features, deepest = pool(seen.features[0]).shape[1], smallest_map(group, example)

    def fit(output: Tensor) -> nn.Module:
        if not (convolutions and output.ndim == 4):
            return LinearFeatures(pool(output).shape[1], features, pool=pool)
        size = (max(output.shape[2] // deepest[0], 1), max(output.shape[3] // deepest[1], 1))
        hidden = max(min(128, features // 4), 1)
        return Bottleneck(output.shape[1], features, size=size, hidden=hidden)

    classifiers = SelfDistillation(
        {name: fit(seen.activations[name][0]) for name in names},
        features=features,
        classes=seen.logits.shape[-1],
        alpha=alpha,
        feature_weight=feature_weight,
        temperature=temperature,
        pool=pool,
    )
    return CollaborativeLearning(group, [Supervised(), classifiers])
