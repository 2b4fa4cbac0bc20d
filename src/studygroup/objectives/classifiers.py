"""Local classifiers: every inner layer learns from the labels and from all layers above it (L_mid)."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from studygroup import bibliography
from studygroup._engine.capture import Layer, Pieces
from studygroup._engine.selection import to_device
from studygroup.checks import check_number, check_whole
from studygroup.functional import imitation_loss
from studygroup.functional.precision import as_weights, single
from studygroup.objectives.base import Step
from studygroup.objectives.local import CONVOLUTIONS, Local, Shapes, width_and_space
from studygroup.schedules import Schedule

_MAX_POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


class LocalClassifiers(Local):
    """A classifier at each inner layer, which trains that layer alone (intra-model paper, equations 5 to 7).

    L_i = α CE(y, ψ(z_i; T)) − β Σ q_i log ψ(z_i; T), q_i = ψ(1/(N−i) Σ_{j=i+1..N} z_j; T) without gradient, z_N the
    network's own answer. The temperature is in the hard loss too, as printed.

    A row shared by several students or views counts once; its z_N is the mean of their answers. A student's
    loss is the mean over the rows that it sees. CE is the task's criterion; a row without a label is left out of both
    terms.

    A classifier is max pooling, a 3x3 convolution and a linear layer. Tokens are a map of one dimension, all of them,
    padding included; for (rows, width) a linear layer replaces the convolution.

    Reading:
        The printed sum begins at j = i, has N−i+1 terms and divides by N−i. Beginning at i+1 the number of terms
        fits, and no layer imitates itself, as in equations 2 and 4. Sizes are not printed: the map is pooled to at
        most `size` pixels per side, and the convolution has at most `channels` filters, so that all classifiers of a
        ResNet-101 together are smaller than the network.

    Args:
        shapes: the layers, see `probe.shapes`.
        classes: number of classes.
        weight: weight of the sum over layers, a number or a function of progress.
        alpha: α = 0.05 in the paper.
        beta: β = 0.05 in the paper.
        temperature: T = 2 in the paper.
        size: pixels per side, or tokens, after pooling.
        channels: maximum number of filters of the convolution.

    Raises:
        ValueError: α or β that is negative or not finite, a temperature that is not positive and finite, or a number
            of classes, pixels or filters below 1.
    """

    sources = (bibliography.INTRA,)

    def __init__(
        self,
        shapes: Shapes,
        classes: int,
        *,
        weight: float | Schedule = 1.0,
        alpha: float = 0.05,
        beta: float = 0.05,
        temperature: float = 2.0,
        size: int = 4,
        channels: int = 64,
    ) -> None:
        super().__init__(shapes, name="mid", weight=weight)
        self.alpha, self.beta = check_number("alpha", alpha, least=0), check_number("beta", beta, least=0)
        self.temperature = check_number("temperature", temperature, above=0)
        size, channels = check_whole("size", size, least=1), check_whole("channels", channels, least=1)
        classes = check_whole("classes", classes, least=1)
        self.heads = nn.ModuleList(
            _classifier(layer, shape, classes=classes, size=size, channels=channels)
            for layer, shape in shapes.items()
        )
        self._above: Tensor | None = None  # (students, rows, classes): sum of the answers above
        self._count = 0
        # where labels weigh or are missing: one over the weight of a student's rows (students,), and of each row one
        # over the number of its student's that have a label, or 0 (students, rows)
        self._hard_share: Tensor | None = None
        self._soft_share: Tensor | None = None

    def start_step(self, step: Step) -> None:
        """Start with the network's own answer, which is above all layers."""
        self._above, self._count = single(step.outputs.logits.detach()), 1
        y, sees = step.class_labels("LocalClassifiers"), to_device(step.outputs.sees, step.y.device)
        _, counts = step.label_loss(self._above[:1], y)
        labelled = step.criterion.labelled(y)
        self._hard_share = None if counts is None else _one_over(sees, counts.to(self._above))
        self._soft_share = (
            None if labelled is None else labelled * _one_over(sees, labelled.to(self._above))[:, None]
        )

    def head_output(self, layer: Layer, hidden: Tensor) -> Float[Tensor, "rows classes"]:
        """Return the classifier's logits."""
        head = self.head(layer)
        return single(head(as_weights(hidden, head)))

    def layer_loss(self, layer: Layer, answers: Pieces, step: Step) -> Float[Tensor, ""]:
        """Return the layer's hard and soft loss; its answer then counts among those above the next layer."""
        layout, above = step.outputs.layout, self._above
        assert layout is not None
        assert above is not None
        y = step.class_labels("LocalClassifiers")
        loss = above.new_zeros(())
        for rows, logits in answers:
            row_weights = layout.row_weights(rows, logits.device, logits.dtype)
            # not a matrix product, which autocast would round
            heard = (row_weights.mean.T[..., None] * above[:, row_weights.sample]).sum(0)
            target = F.softmax(heard / self._count / self.temperature, dim=-1)
            soft = imitation_loss(logits[None], target[None], self.temperature, "cross_entropy")[0]
            hard = step.label_loss(logits[None] / self.temperature, y[row_weights.sample])[0][0]
            lowest, sample = row_weights.lowest, row_weights.sample
            hard_share = row_weights.share if self._hard_share is None else self._hard_share[lowest]
            soft_share = row_weights.share if self._soft_share is None else self._soft_share[lowest, sample]
            loss = loss + (self.alpha * hard * hard_share + self.beta * soft * soft_share).sum()
        self._above = above + layout.scatter([(rows, logits.detach()) for rows, logits in answers])
        self._count += 1
        return loss

    def head(self, layer: Layer) -> nn.Module:
        """Return the layer's classifier."""
        return self.heads[self.layers.index(layer)]


def _one_over(
    sees: Bool[Tensor, "students rows"], counts: Float[Tensor, " rows"]
) -> Float[Tensor, " students"]:
    """Return one over the sum of each student's rows; 1 where that is 0."""
    total = (sees * counts).sum(1)
    return 1 / torch.where(total > 0, total, 1)


def _classifier(
    layer: Layer, shape: Sequence[int], *, classes: int, size: int, channels: int
) -> nn.Sequential:
    """Build pooling, convolution and linear layer for one row of a given shape."""
    width, space = width_and_space(layer, shape)
    filters = min(width, channels)
    if not space:
        return nn.Sequential(nn.Linear(width, filters), nn.Linear(filters, classes))
    front: list[nn.Module] = [_Swap()] if layer.tokens else []
    if len(space) == 1:
        pool: nn.Module = nn.AdaptiveMaxPool1d(size)  # sequences differ in length from batch to batch
        pixels = size
    else:
        strides = tuple(math.ceil(side / size) for side in space)
        pool = _MAX_POOL[len(space)](strides, strides, ceil_mode=True)
        pixels = math.prod(math.ceil(side / stride) for side, stride in zip(space, strides, strict=True))
    convolution = CONVOLUTIONS[len(space)](width, filters, 3, padding=1)
    flat = _Flatten(filters * pixels, layer, space)
    return nn.Sequential(*front, pool, convolution, flat, nn.Linear(filters * pixels, classes))


class _Flatten(nn.Flatten):
    """Flatten each row, and check that it has as many numbers as the following linear layer expects."""

    def __init__(self, numbers: int, layer: Layer, space: Sequence[int]) -> None:
        super().__init__()
        self._numbers, self._layer, self._space = numbers, layer, tuple(space)

    def forward(self, pooled: Tensor) -> Tensor:
        flat = super().forward(pooled)
        if flat.shape[1] != self._numbers:
            sides = " x ".join(map(str, self._space))
            raise ValueError(
                f"the local classifier of {self._layer.name!r} was built for an output of {sides}, pooled to "
                f"{self._numbers} numbers a row, and gets {flat.shape[1]}; scale all to the size of the example"
            )
        return flat


class _Swap(nn.Module):
    """Turn tokens into a map of one dimension: (rows, tokens, width) to (rows, width, tokens)."""

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden.transpose(1, 2)
