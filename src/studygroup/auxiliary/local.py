"""Objectives that train one layer each: the rule that keeps their gradients there."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from studygroup.auxiliary.base import Auxiliary, OfWeights, Step
from studygroup.functional import localized
from studygroup.group import StudyGroup
from studygroup.peers import Peers
from studygroup.schedules import Schedule
from studygroup.taps import Layer, Pieces

Shapes = Mapping[Layer, Sequence[int]]
"""The shape of one row of each layer's output, see `probe.shapes`: layers from the input to the output."""

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
"""By the dimensions of a map."""

_HALF_SCALE = 2.0**10  # keeps local gradients from underflowing in fp16; a power of two changes nothing else


class Local(Auxiliary):
    """The base of objectives whose gradient reaches one layer, with all its copies, and what they build on it.

    `CollaborativeLearning` calls `begin` once a step and then `at` for each layer from the output to the input; where
    several objectives look at one layer, their gradients are formed together.

    Args:
        shapes: the layers, and the shape of one row of their outputs.
        name: as for `Auxiliary`.
        weight: as for `Auxiliary`.
    """

    def __init__(self, shapes: Shapes, *, name: str, weight: float | Schedule) -> None:
        super().__init__(name=name, weight=weight)
        self.layers = tuple(shapes)

    def begin(self, step: Step) -> None:
        """A step begins."""

    def at(self, layer: Layer, pieces: Pieces, step: Step) -> Float[Tensor, ""]:
        """The layer's loss, unweighted.

        Args:
            layer: one of `layers`.
            pieces: its output, rows and tensor of each module.
            step: all else.
        """
        raise NotImplementedError

    def own(self, layer: Layer) -> nn.Module:
        """What the objective builds on a layer; it learns from the layer's loss alone."""
        raise NotImplementedError


def width_and_space(layer: Layer, shape: Sequence[int]) -> tuple[int, tuple[int, ...]]:
    """Channels of a layer's output and the sides of its map, from the shape of one row; tokens are a map of one."""
    return (shape[-1], tuple(shape[:-1])) if layer.tokens else (shape[0], tuple(shape[1:]))


def train_locally(parts: Sequence[Local], step: Step) -> tuple[Tensor | float, dict[str, Tensor]]:
    """The local losses of a step.

    Args:
        parts: the objectives.
        step: with the outputs of all their layers.

    Returns:
        The weighted sum, whose gradient reaches for every layer only its own parameters and what the objectives build
        on it; and the value of each objective by name, unweighted, without gradient.
    """
    total = step.outputs.logits.new_zeros((), dtype=torch.float32)
    values = {part.name: total for part in parts}
    for part in parts:
        part.begin(step)
    for layer in reversed(list(dict.fromkeys(layer for part in parts for layer in part.layers))):
        total = total + _one_layer([part for part in parts if layer in part.layers], layer, step, values)
    return total, values


def _one_layer(parts: Sequence[Local], layer: Layer, step: Step, values: dict[str, Tensor]) -> Tensor:
    """One layer's part of the weighted sum; values are added to. Its heads' activations end with it."""
    pieces = step.outputs.layers[layer]
    if not pieces:  # a step may leave a layer out, as random depth does
        return step.outputs.logits.new_zeros((), dtype=torch.float32)
    loss: Tensor | None = None
    for part in parts:
        value = part.at(layer, pieces, step)
        values[part.name] = values[part.name] + value.detach()
        weighted = part.weight(step.progress) * value
        loss = weighted if loss is None else loss + weighted
    assert loss is not None
    learning = [*_parameters(layer, step), *(p for part in parts for p in part.own(layer).parameters())]
    return localized(loss, learning, scale=_scale(loss.device))


def _parameters(layer: Layer, step: Step) -> Iterator[nn.Parameter]:
    """The parameters of a layer and of all its copies."""
    return (p for name in layer.modules for module in step.group.copies(name) for p in module.parameters())


def _scale(device: torch.device) -> float:
    half = torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type) == torch.float16
    return _HALF_SCALE if half else 1.0


def of_weights(parts: Sequence[Auxiliary], group: StudyGroup | Peers) -> dict[str, Tensor]:
    """The values of objectives that look at weights alone; call it before the forward pass."""
    return {part.name: part.of(group) for part in parts if isinstance(part, OfWeights)}


def add_up(
    parts: Sequence[Auxiliary], step: Step, known: Mapping[str, Tensor]
) -> tuple[Tensor | float, dict[str, Tensor]]:
    """The weighted sum of all objectives of a step, and the value of each by name, unweighted.

    Args:
        parts: the objectives.
        step: what they see.
        known: values that are there already, see `of_weights`.
    """
    local = [part for part in parts if isinstance(part, Local)]
    total, values = train_locally(local, step) if local else (0.0, {})
    for part in parts:
        if not isinstance(part, Local):
            values[part.name] = known[part.name] if part.name in known else part(step)
            total = total + part.weight(step.progress) * values[part.name]
    return total, values
