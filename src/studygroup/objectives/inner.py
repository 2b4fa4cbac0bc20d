"""Classifiers at inner layers whose losses train the whole network: auxiliary training, self-distillation."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from studygroup import bibliography
from studygroup._engine.capture import Capture
from studygroup._engine.selection import to_device
from studygroup.checks import check_number, check_share, check_whole
from studygroup.functional import imitation_loss, masked_mean
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

    Σ_i CE_i over layers, mean over the rows that a student sees, sum over students. CE is the task's criterion, with
    its class weights, smoothing and rows without a label.

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
        total = single(outputs.logits).new_zeros(())
        for name, head in zip(self.layers, self.heads, strict=True):
            logits = single(head(as_weights(_vectors(outputs.activations[name], self.pool), head)))
            each, counts = step.label_loss(logits, y)
            total = total + masked_mean(each, sees, counts).sum()
        return total


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
    z_C and F_C constants; mean over the rows that a student sees, sum over students. CE is the task's criterion;
    a row without a label is left out of all three.

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
        sees, seen = to_device(outputs.sees, y.device), _seen(outputs, y.device)
        deepest = single(self.pool(_rows(outputs.features, seen))).detach()
        targets = F.softmax(answered / self.temperature, dim=-1)
        labelled = step.criterion.labelled(y)
        total = answered.new_zeros(())
        for layer, fit, head in zip(self.layers, self.fit, self.heads, strict=True):
            own = fit(as_weights(_rows(outputs.activations[layer], seen), fit))
            logits = _laid(single(head(own)), seen, sees)
            hard, counts = step.label_loss(logits, y)
            soft = imitation_loss(logits, targets, self.temperature)
            hint = _laid((single(own) - deepest).square().sum(-1), seen, sees)
            taught = self.alpha * soft + self.feature_weight * hint
            total = total + (1 - self.alpha) * masked_mean(hard, sees, counts).sum()
            total = total + masked_mean(taught, sees, labelled).sum()
        return total


def _vectors(
    hidden: Float[Tensor, "students rows *shape"], pool: Pool
) -> Float[Tensor, "students rows width"]:
    return pool(hidden.flatten(0, 1)).view(*hidden.shape[:2], -1)


def _seen(outputs: Outputs, device: torch.device) -> Int[Tensor, " seen"] | None:
    """Return which rows of all students were seen, if not all; the others are zeros, which batch norm would count."""
    if outputs.all_see_all():
        return None
    return to_device(outputs.sees.flatten().nonzero().squeeze(1), device)


def _rows(
    values: Shaped[Tensor, "students rows *shape"], index: Int[Tensor, " seen"] | None
) -> Shaped[Tensor, "seen *shape"]:
    """Return the values of the rows that were seen."""
    flat = values.flatten(0, 1)
    return flat if index is None else flat[index]


def _laid(
    values: Shaped[Tensor, "seen *shape"],
    index: Int[Tensor, " seen"] | None,
    sees: Bool[Tensor, "students rows"],
) -> Shaped[Tensor, "students rows *shape"]:
    """Lay the values of the rows that were seen out by student and row, the others 0: the inverse of `_rows`."""
    shape = values.shape[1:]
    if index is not None:
        values = values.new_zeros(sees.numel(), *shape).index_copy(0, index, values)
    return values.view(*sees.shape, *shape)
