"""Classifiers at inner layers whose losses train the whole network: auxiliary training, self-distillation."""

from collections.abc import Mapping

import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from studygroup import bibliography
from studygroup._engine.capture import Capture
from studygroup._engine.selection import to_device
from studygroup.checks import check_number, check_share, check_whole
from studygroup.functional import imitation_loss, label_loss, masked_mean
from studygroup.functional.precision import as_weights, single
from studygroup.objectives.base import Objective, Step
from studygroup.outputs import Outputs
from studygroup.schedules import Schedule
from studygroup.teachers import pooled
from studygroup.teachers.learned import Pool


def _some(layers: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse an empty list of layers, with which training would be plain training."""
    if not layers:
        raise ValueError(
            "no layer is named to put a classifier on, and without any this is plain training; name the layers after "
            "which the network is cut (in recipes inner=[...])"
        )
    return layers


class InnerClassifiers(Objective):
    """Classifiers at inner layers, trained on the labels (auxiliary training, Szegedy et al. 2015).

    Σ_i CE_i over layers, mean over the rows that a student sees, sum over students.

    Args:
        widths: features of each layer after pooling, by name.
        classes: number of classes.
        weight: weight of the sum; 0.3 in the paper.
        pool: maps a layer's output to (rows, width), see `teachers.pooled`.

    Raises:
        ValueError: no layer, or a width or a number of classes below 1.
    """

    sources = (bibliography.GOOGLENET,)

    def __init__(
        self, widths: Mapping[str, int], *, classes: int, weight: float | Schedule, pool: Pool = pooled
    ) -> None:
        super().__init__(name="inner", weight=weight)
        self.layers = _some(tuple(widths))
        self.capture = Capture(activations=self.layers)
        self.pool = pool
        classes = check_whole("classes", classes, least=1)
        self.heads = nn.ModuleList(
            nn.Linear(check_whole(f"the width of layer {name!r}", width, least=1), classes)
            for name, width in widths.items()
        )

    def loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the sum of the cross-entropies."""
        outputs, y = step.outputs, step.class_labels("InnerClassifiers")
        sees = to_device(outputs.sees, y.device)
        losses = [
            label_loss(single(head(as_weights(_vectors(outputs.activations[name], self.pool), head))), y)
            for name, head in zip(self.layers, self.heads, strict=True)
        ]
        return sum((masked_mean(loss, sees).sum() for loss in losses), single(outputs.logits).new_zeros(()))


class Bottleneck(nn.Module):
    """A map from a layer's output to features comparable with those of the network's own classifier (BYOT).

    A 1×1 convolution, one whose kernel and stride bring the maps to the deepest ones' size, and a 1×1 convolution,
    each with batch norm and ReLU; then the mean over space.

    Reading:
        The paper draws a bottleneck; kernels and channels are those of the authors' public code of SCAN.

    Args:
        width: channels of the layer's output.
        features: features of the network's own classifier.
        size: how many times higher and wider the maps are than the deepest ones.
        hidden: channels of the layers in between.
    """

    def __init__(self, width: int, features: int, *, size: tuple[int, int], hidden: int = 128) -> None:
        super().__init__()
        sizes = ((width, hidden, (1, 1)), (hidden, hidden, size), (hidden, features, (1, 1)))
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, by, stride=by, bias=False), nn.BatchNorm2d(b), nn.ReLU())
                for a, b, by in sizes
            )
        )

    def forward(self, maps: Float[Tensor, "rows width height across"]) -> Float[Tensor, "rows features"]:
        """Return the features."""
        brought: Tensor = self.layers(maps)
        return brought.flatten(2).mean(2)


class LinearFeatures(nn.Module):
    """The same map from any layer's output: pooling and one linear layer.

    Args:
        width: features of the layer after pooling.
        features: features of the network's own classifier.
        pool: maps the layer's output to (rows, width), see `teachers.pooled`.
    """

    def __init__(self, width: int, features: int, *, pool: Pool = pooled) -> None:
        super().__init__()
        self.pool = pool
        self.linear = nn.Linear(width, features)

    def forward(self, hidden: Float[Tensor, "rows *shape"]) -> Float[Tensor, "rows features"]:
        """Return the features."""
        found: Tensor = self.linear(self.pool(hidden))
        return found


class SelfDistillation(Objective):
    """Inner classifiers that learn from the deepest one and from its features (Zhang et al. 2019).

    Σ_i [(1−α) CE_i + α KL(ψ(z_C; T) ‖ ψ(z_i; T)) + λ ‖F_i − F_C‖²] over layers, C the network's own classifier,
    z_C and F_C constants; mean over the rows that a student sees, sum over students.

    Args:
        fit: the module that maps a layer's output to F_i, by the layer's name: `Bottleneck`, `LinearFeatures` or a
            module of your own.
        features: features of the network's own classifier.
        classes: number of classes.
        alpha: share of imitation.
        feature_weight: λ.
        temperature: T.
        pool: maps the input of the network's own classifier to (rows, features), see `teachers.pooled`.

    Raises:
        ValueError: no layer, α outside [0, 1], λ that is negative or not finite, a temperature that is not positive
            and finite, or no features or classes.
    """

    sources = (bibliography.BYOT,)

    def __init__(
        self,
        fit: Mapping[str, nn.Module],
        *,
        features: int,
        classes: int,
        alpha: float = 0.3,
        feature_weight: float = 0.03,
        temperature: float = 3.0,
        pool: Pool = pooled,
    ) -> None:
        super().__init__(name="inner", weight=1.0)
        self.layers = _some(tuple(fit))
        self.capture = Capture(activations=self.layers, features=True)
        self.alpha = check_share("alpha", alpha, of="imitation")
        self.feature_weight = check_number("feature_weight", feature_weight, least=0)
        self.temperature = check_number("temperature", temperature, above=0)
        features, classes = (
            check_whole("features", features, least=1),
            check_whole("classes", classes, least=1),
        )
        self.pool = pool
        self.fit = nn.ModuleList(fit.values())
        self.heads = nn.ModuleList(nn.Linear(features, classes) for _ in fit)

    def loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the sum over layers of labels, imitation and features."""
        outputs, y = step.outputs, step.class_labels("SelfDistillation")
        assert outputs.features is not None
        answered = single(outputs.logits).detach()
        seen, share = _seen(outputs, answered)
        deepest = single(self.pool(_rows(outputs.features, seen))).detach()
        targets = F.softmax(_rows(answered, seen) / self.temperature, dim=-1)
        labels = _rows(y.expand(len(answered), *y.shape), seen)
        total = answered.new_zeros(())
        for layer, fit, head in zip(self.layers, self.fit, self.heads, strict=True):
            own = fit(as_weights(_rows(outputs.activations[layer], seen), fit))
            logits = single(head(own))
            hard = F.cross_entropy(logits, labels, reduction="none")
            soft = imitation_loss(logits[None], targets[None], self.temperature)[0]
            hint = (single(own) - deepest).square().sum(-1)
            loss = (1 - self.alpha) * hard + self.alpha * soft + self.feature_weight * hint
            total = total + (share * loss).sum()
        return total


def _vectors(
    hidden: Float[Tensor, "students rows *shape"], pool: Pool
) -> Float[Tensor, "students rows width"]:
    return pool(hidden.flatten(0, 1)).view(*hidden.shape[:2], -1)


def _seen(outputs: Outputs, like: Tensor) -> tuple[Int[Tensor, " seen"] | None, Float[Tensor, " seen"]]:
    """Return which of all students' rows were seen, if not all, and each row's share in its student's mean.

    Rows that were not seen are zeros, which a batch norm would count.
    """
    sees = outputs.sees
    shares = sees.double() / sees.sum(1, keepdim=True).clamp(min=1)
    if outputs.all_see_all():
        return None, to_device(shares.flatten().to(like.dtype), like.device)
    index = to_device(sees.flatten().nonzero().squeeze(1), like.device)
    return index, to_device(shares[sees].to(like.dtype), like.device)


def _rows(
    values: Shaped[Tensor, "students rows *shape"], index: Int[Tensor, " seen"] | None
) -> Shaped[Tensor, "seen *shape"]:
    """Return the values of the rows that were seen."""
    flat = values.flatten(0, 1)
    return flat if index is None else flat[index]
