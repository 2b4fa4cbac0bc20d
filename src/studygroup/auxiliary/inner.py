"""Classifiers at inner layers that learn from all of the network: auxiliary training, self-distillation."""

from collections.abc import Mapping

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from studygroup import bibliography
from studygroup.auxiliary.base import Auxiliary, Step
from studygroup.functional import imitation_loss, masked_mean
from studygroup.listen import pooled
from studygroup.listen.learnt import Pool
from studygroup.schedules import Schedule
from studygroup.selection import to_device


class InnerClassifiers(Auxiliary):
    """Classifiers at inner layers, trained on the labels (auxiliary training, Szegedy et al. 2015).

    Σ_i CE_i over layers, mean over the rows that a student sees, sum over students.

    Args:
        widths: features of each layer after pooling, by name.
        classes: how many classes.
        weight: of the sum; 0.3 in the paper.
        pool: from a layer's output to (rows, width), see `listen.pooled`.
    """

    sources = (bibliography.GOOGLENET,)

    def __init__(
        self, widths: Mapping[str, int], *, classes: int, weight: float | Schedule, pool: Pool = pooled
    ) -> None:
        super().__init__(name="inner", weight=weight)
        self.want = tuple(widths)
        self.pool = pool
        self.heads = nn.ModuleList(nn.Linear(width, classes) for width in widths.values())

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The sum of the cross-entropies."""
        outputs, y = step.outputs, step.y
        sees = to_device(outputs.sees, y.device)
        losses = [
            _hard(head(_vectors(outputs.taps[name], self.pool)), y)
            for name, head in zip(self.want, self.heads, strict=True)
        ]
        return sum((masked_mean(loss, sees).sum() for loss in losses), outputs.logits.new_zeros(()))


class SelfDistillation(Auxiliary):
    """Inner classifiers that learn from the deepest one and from its features (Zhang et al. 2019).

    Σ_i [(1−α) CE_i + α KL(ψ(z_C; T) ‖ ψ(z_i; T)) + λ ‖F_i − F_C‖²] over layers, C the network's own classifier,
    z_C and F_C constants; mean over the rows that a student sees, sum over students.

    Args:
        widths: features of each layer after pooling, by name.
        features: features of the network's own classifier.
        classes: how many classes.
        alpha: share of imitation.
        feature_weight: λ.
        temperature: T.
        pool: from a layer's output to (rows, width), see `listen.pooled`.
    """

    sources = (bibliography.BYOT,)

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        features: int,
        classes: int,
        alpha: float = 0.3,
        feature_weight: float = 0.03,
        temperature: float = 3.0,
        pool: Pool = pooled,
    ) -> None:
        super().__init__(name="inner", weight=1.0)
        self.layers = tuple(widths)
        self.want = (*self.layers, "features")
        self.alpha, self.feature_weight, self.temperature = alpha, feature_weight, temperature
        self.pool = pool
        # departs: one linear map on pooled features serves any network; the paper's is a stack of convolutions.
        self.fit = nn.ModuleList(nn.Linear(width, features) for width in widths.values())
        self.heads = nn.ModuleList(nn.Linear(features, classes) for _ in widths)

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The sum over layers of labels, imitation and features."""
        outputs, y = step.outputs, step.y
        assert outputs.features is not None
        sees = to_device(outputs.sees, y.device)
        deepest = _vectors(outputs.features, self.pool).detach()
        targets = F.softmax(outputs.logits.detach() / self.temperature, dim=-1)
        total = outputs.logits.new_zeros(())
        for layer, fit, head in zip(self.layers, self.fit, self.heads, strict=True):
            own = fit(_vectors(outputs.taps[layer], self.pool))
            logits = head(own)
            soft = imitation_loss(logits, targets, self.temperature)
            loss = (1 - self.alpha) * _hard(logits, y) + self.alpha * soft
            loss = loss + self.feature_weight * (own - deepest).float().square().sum(-1)
            total = total + masked_mean(loss, sees).sum()
        return total


def _vectors(
    hidden: Float[Tensor, "students rows *shape"], pool: Pool
) -> Float[Tensor, "students rows width"]:
    return pool(hidden.flatten(0, 1)).view(*hidden.shape[:2], -1)


def _hard(
    logits: Float[Tensor, "students rows classes"], y: Int[Tensor, " rows"]
) -> Float[Tensor, "students rows"]:
    return F.cross_entropy(logits.flatten(0, 1), y.repeat(len(logits)), reduction="none").view(
        logits.shape[:2]
    )
