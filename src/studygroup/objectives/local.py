"""Objectives that train one layer each, and the rule that keeps their gradients there."""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from studygroup._engine.capture import Capture, Layer, Pieces
from studygroup.objectives.base import Objective, Step
from studygroup.schedules import Schedule

Shapes = Mapping[Layer, Sequence[int]]
"""The shape of one row of each layer's output, see `probe.shapes`: layers from the input to the output."""

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
"""By the dimensions of a map."""


class Local(Objective):
    """The base of objectives whose gradient reaches one layer, all its copies, and the head built on it.

    `loss` calls `start_step` once and then `head_output` and `layer_loss` for each layer from the output to the
    input; where several objectives look at one layer, their gradients are formed together.

    Args:
        shapes: the layers, and the shape of one row of their outputs.
        name: see `Objective`.
        weight: see `Objective`.
    """

    def __init__(self, shapes: Shapes, *, name: str, weight: float | Schedule) -> None:
        super().__init__(name=name, weight=weight)
        self.layers = tuple(shapes)
        self.capture = Capture(in_flight=self.layers)

    def start_step(self, step: Step) -> None:
        """Prepare for a step's layers."""

    def head_output(self, layer: Layer, hidden: Tensor) -> Tensor:
        """Return the head's output for one module's output: small, one row each.

        It is called twice, in the forward pass without gradient and again in the backward pass, and must return the
        same: no dropout and no running statistics.
        """
        raise NotImplementedError

    def layer_loss(self, layer: Layer, answers: Pieces, step: Step) -> Float[Tensor, ""]:
        """Return the layer's loss, unweighted.

        Args:
            layer: one of `layers`.
            answers: rows and head output of each module.
            step: the current step.
        """
        raise NotImplementedError

    def head(self, layer: Layer) -> nn.Module:
        """Build the objective's head on a layer; it learns from the layer's loss alone."""
        raise NotImplementedError

    def loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the sum over layers, without gradient; gradients are left in `step.layer_gradients`."""
        self.start_step(step)
        total = step.outputs.logits.new_zeros((), dtype=torch.float32)
        for layer in reversed(self.layers):
            if step.outputs.in_flight[layer]:  # a step may leave a layer out, as random depth does
                total = total + self._of_layer(layer, step)
        return total

    def _of_layer(self, layer: Layer, step: Step) -> Tensor:
        """Return the loss at a layer; leave its weighted gradient at the head's outputs in the step."""
        pieces = step.outputs.in_flight[layer]
        with torch.no_grad():
            leaves = [self.head_output(layer, hidden).detach() for _, hidden in pieces]
        answers = [(rows, leaf.requires_grad_()) for (rows, _), leaf in zip(pieces, leaves, strict=True)]
        value = self.layer_loss(layer, answers, step)
        if not value.requires_grad:  # without gradient mode
            return value
        with torch.autocast(value.device.type, enabled=False):  # as an ordinary backward pass, outside of it
            weighted = self.weight_at(step.progress) * step.share_of_all(self.name) * value
            gradients = torch.autograd.grad(weighted, leaves, materialize_grads=True)
        step.layer_gradients.add(layer, partial(self.head_output, layer), self.head(layer), gradients)
        return value.detach()


def width_and_space(layer: Layer, shape: Sequence[int]) -> tuple[int, tuple[int, ...]]:
    """Return the channels of a layer's output and the sides of its map, from the shape of one row.

    Tokens are a map of one dimension.
    """
    return (shape[-1], tuple(shape[:-1])) if layer.tokens else (shape[0], tuple(shape[1:]))
