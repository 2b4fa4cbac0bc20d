"""Be Your Own Teacher: self distillation (ICCV 2019)."""

from collections.abc import Iterable

from torch import nn

from studygroup.auxiliary import SelfDistillation
from studygroup.collaborate import CollaborativeLearning
from studygroup.group import StudyGroup
from studygroup.inputs import Inputs
from studygroup.listen import pooled
from studygroup.listen.learnt import Pool
from studygroup.probe import features, probe
from studygroup.routes import independent


def byot(
    model: nn.Module,
    *,
    inner: Iterable[str],
    example: Inputs,
    alpha: float = 0.3,
    feature_weight: float = 0.03,
    temperature: float = 3.0,
    pool: Pool = pooled,
) -> CollaborativeLearning:
    """One network whose inner classifiers learn from its deepest one (Zhang et al. 2019).

    L = CE_C + Σ_i [(1−α) CE_i + α KL(ψ(z_C; T) ‖ ψ(z_i; T)) + λ ‖F_i − F_C‖²]. Inner classifiers
    never ship.

    Args:
        model: the network to train and ship.
        inner: names of the layers after which the network is cut, such as `["layer1", "layer2", "layer3"]`.
        example: one batch; run without gradient and without trace, it tells the widths.
        alpha: share of imitation; 0.3 in the authors' later public code.
        feature_weight: λ; 0.03 there. # reading: ‖·‖² is the squared norm, as printed, of each row's
            difference, mean over rows; that code has the norm of the whole batch's.
        temperature: T = 3 there. # reading: no T² is printed.
        pool: from a layer's output to (rows, width), see `listen.pooled`. # departs: features are compared
            after pooling, through one linear map, which serves any network; the paper's bottlenecks are
            convolutions.
    """
    names = tuple(inner)
    group = StudyGroup(model, independent(students=1))
    seen = probe(group, example, want=names)
    classifiers = SelfDistillation(
        {name: pool(seen.taps[name][0]).shape[1] for name in names},
        features=pool(features(group, example)).shape[1],
        classes=seen.logits.shape[-1],
        alpha=alpha,
        feature_weight=feature_weight,
        temperature=temperature,
        pool=pool,
    )
    return CollaborativeLearning(group, auxiliary=[classifiers])
