"""Objectives that train one layer each: the rule that keeps their gradients there."""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from studygroup.auxiliary.base import Auxiliary, OfWeights, Step
from studygroup.auxiliary.one_layer import OneLayer
from studygroup.group import StudyGroup
from studygroup.peers import Peers
from studygroup.schedules import Schedule
from studygroup.taps import Layer, Pieces

Shapes = Mapping[Layer, Sequence[int]]
"""The shape of one row of each layer's output, see `probe.shapes`: layers from the input to the output."""

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
"""By the dimensions of a map."""


class Local(Auxiliary):
    """The base of objectives whose gradient reaches one layer, with all its copies, and what they build on it.

    `CollaborativeLearning` calls `begin` once a step and then `answer` and `at` for each layer from the output to the
    input; where several objectives look at one layer, their gradients are formed together.

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

    def answer(self, layer: Layer, hidden: Tensor) -> Tensor:
        """What the objective makes of one module's output with what it has built on the layer: small, one row each.

        It is asked twice, in the forward pass without gradient and again in the backward pass, which must change
        nothing: no dropout and no running statistics.
        """
        raise NotImplementedError

    def at(self, layer: Layer, answers: Pieces, step: Step) -> Float[Tensor, ""]:
        """The layer's loss, unweighted.

        Args:
            layer: one of `layers`.
            answers: rows and answer of each module.
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
        if step.outputs.layers[layer]:  # a step may leave a layer out, as random depth does
            looking = [part for part in parts if layer in part.layers]
            total = total + _one_layer(looking, layer, step, values)
    return total, values


def _one_layer(parts: Sequence[Local], layer: Layer, step: Step, values: dict[str, Tensor]) -> Tensor:
    """One layer's part of the weighted sum; values are added to."""
    total = step.outputs.logits.new_zeros((), dtype=torch.float32)
    columns = []
    for part in parts:
        value, gradients = _at_answers(part, layer, step)
        values[part.name] = values[part.name] + value
        total = total + part.weight(step.progress) * value
        columns.append(gradients)
    if torch.is_grad_enabled():
        one = OneLayer(
            [partial(part.answer, layer) for part in parts],
            [module for name in layer.modules for module in step.group.copies(name)],
            [part.own(layer) for part in parts],
            products=step.outputs.products,
            device=total.device,
        )
        for (_, hidden), *gradients in zip(step.outputs.layers[layer], *columns, strict=True):
            total = total + one.learns(hidden, gradients)
    return total


def _at_answers(part: Local, layer: Layer, step: Step) -> tuple[Tensor, Sequence[Tensor]]:
    """An objective's loss at a layer, and the gradient of its weighted value at the answer of each module."""
    pieces = step.outputs.layers[layer]
    with torch.no_grad():
        leaves = [part.answer(layer, hidden).detach() for _, hidden in pieces]
    answers = [(rows, leaf.requires_grad_()) for (rows, _), leaf in zip(pieces, leaves, strict=True)]
    value = part.at(layer, answers, step)
    if not value.requires_grad:  # without gradient mode
        return value, leaves
    with torch.autocast(value.device.type, enabled=False):  # as an ordinary backward pass, outside of it
        weighted = part.weight(step.progress) * value
        return value.detach(), torch.autograd.grad(weighted, leaves, materialize_grads=True)


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
