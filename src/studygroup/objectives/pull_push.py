"""Pull and push: every inner layer is pulled to the labels and pushed away from the input (L_pull-push)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from studygroup import bibliography
from studygroup._engine.capture import Capture, Layer, Pieces
from studygroup._engine.rows import Rows
from studygroup._engine.selection import to_device
from studygroup.checks import check_choice, check_pair, check_whole
from studygroup.functional import (
    Centre,
    Statistic,
    deviations,
    label_similarity,
    linear_over_depth,
    pull_push,
    similarity_matrix,
)
from studygroup.functional.precision import as_weights
from studygroup.objectives.base import Step
from studygroup.objectives.local import CONVOLUTIONS, Local, Shapes, width_and_space
from studygroup.schedules import Schedule


class PullPush(Local):
    """Similarities between the rows of a batch, layer by layer (intra-model paper, equations 8 and 9).

    L_i = a_i ‖S(g_i(h_i)) − S(y)‖_F − b_i ‖S(g_i(h_i)) − S(x)‖_F, g_i one convolution that learns from L_i, a_i
    rising and b_i falling linearly from the input to the output. The loss trains layer i alone. Where a layer has
    several modules, each compares the rows that it works on.

    Tokens are a map of one dimension; for (rows, width) g_i is a linear layer.

    Reading:
        Sizes, a_i and b_i at both ends are not printed. g_i is a 3x3 convolution without bias, which deviations
        ignore, of at most `channels` filters.

    Args:
        shapes: the layers, see `probe.shapes`.
        classes: length of the one-hot rows of y.
        weight: weight of the sum over layers, w₁; found by grid search in the paper and not printed.
        pull: a of the first layer and of the last.
        push: b of the first layer and of the last.
        source: the layer whose output stands for x; omitted, x is the network's input, which must be numbers, as
            pictures are, and not a mapping of token ids.
        source_statistic: statistic of x; `"flatten"` compares whole pictures; two rows of three deviations, centred,
            lie on a circle.
        centre: what is centred, see `functional.similarity_matrix`.
        channels: most filters of g_i.

    Raises:
        ValueError: fewer than two classes, an end that is no finite number, an unknown `centre` or statistic, or no
            filters.
    """

    sources = (bibliography.INTRA,)

    def __init__(
        self,
        shapes: Shapes,
        classes: int,
        *,
        weight: float | Schedule = 1.0,
        pull: tuple[float, float] = (0.0, 1.0),
        push: tuple[float, float] = (1.0, 0.0),
        source: str = "",
        source_statistic: Statistic = "deviation",
        centre: Centre = "channels",
        channels: int = 64,
    ) -> None:
        super().__init__(shapes, name="pull_push", weight=weight)
        self.capture |= Capture(activations=(source,) if source else ())
        self.classes, self.source = check_whole("classes", classes, least=2), source
        self.centre: Centre = check_choice("centre", centre, ("channels", "batch"))
        self.source_statistic: Statistic = check_choice(
            "source_statistic", source_statistic, ("deviation", "flatten")
        )
        channels = check_whole("channels", channels, least=1)
        pulls = linear_over_depth(len(shapes), *check_pair("pull", pull))
        pushes = linear_over_depth(len(shapes), *check_pair("push", push))
        self.weights = dict(zip(self.layers, zip(pulls, pushes, strict=True), strict=True))
        self.projections = nn.ModuleList(
            _projection(layer, shape, channels) for layer, shape in shapes.items()
        )
        self._ends: dict[Rows, tuple[Tensor, Tensor]] = {}

    def start_step(self, step: Step) -> None:
        """Drop the similarities of the previous batch.

        Raises:
            ValueError: a row has no label, which would be like any other.
        """
        step.check_all_labelled("PullPush")
        self._ends = {}

    def head_output(self, layer: Layer, hidden: Tensor) -> Float[Tensor, "rows channels"]:
        """Return the deviations of the projected maps."""
        head = self.head(layer)
        return deviations(head(as_weights(hidden.transpose(1, 2) if layer.tokens else hidden, head)))

    def layer_loss(self, layer: Layer, answers: Pieces, step: Step) -> Float[Tensor, ""]:
        """Return the sum over the layer's modules."""
        pull, push = self.weights[layer]
        losses = []
        for rows, answer in answers:
            own = similarity_matrix(answer, centre=self.centre)
            target, source = self._between(rows, step, own)
            losses.append(pull_push(own, target, source, pull=pull, push=push))
        return torch.stack(losses).sum()

    def head(self, layer: Layer) -> nn.Module:
        """Return the layer's projection."""
        return self.projections[self.layers.index(layer)]

    def _between(self, rows: Rows, step: Step, own: Tensor) -> tuple[Tensor, Tensor]:
        """Return S(y) and S(x) of some rows, the same for all layers that work on them; computed once per step."""
        if rows not in self._ends:
            assert step.outputs.layout is not None
            at = step.outputs.layout.row_weights(rows, own.device).sample
            x, y = self._input(step).detach()[at], step.class_labels("PullPush")
            if x.shape[1] < 2 and (self.centre, self.source_statistic) == ("channels", "deviation"):
                raise ValueError(
                    f"what pull-push takes for the input has {x.shape[1]} channel, whose deviation alone says "
                    "nothing; pass source_statistic='flatten', or a layer of more channels as source"
                )
            self._ends[rows] = (
                label_similarity(y[at], classes=self.classes, centre=self.centre, dtype=own.dtype),
                similarity_matrix(x, centre=self.centre, statistic=self.source_statistic),
            )
        return self._ends[rows]

    def _input(self, step: Step) -> Tensor:
        """Return the representation of x, one row per sample."""
        if self.source:
            tap, sees = step.outputs.activations[self.source], step.outputs.sees
            first = to_device(sees.to(torch.uint8).argmax(0), tap.device)
            taken = tap[first, torch.arange(len(first), device=tap.device)]
            return taken.transpose(1, 2) if taken.ndim == 3 else taken
        if not isinstance(step.x, Tensor) or not step.x.is_floating_point():
            kind = step.x.dtype if isinstance(step.x, Tensor) else type(step.x).__name__
            raise ValueError(
                f"the input is {kind}, which gives nothing to compare rows by; name the layer that embeds it with "
                "source=..."
            )
        return step.x


def _projection(layer: Layer, shape: Sequence[int], channels: int) -> nn.Module:
    """Build g_i for one row of a given shape."""
    width, space = width_and_space(layer, shape)
    filters = min(width, channels)
    if not space:
        return nn.Linear(width, filters, bias=False)
    return CONVOLUTIONS[len(space)](width, filters, 3, padding=1, bias=False)
