"""Probes of a group with one example batch, from which recipes take the sizes of what they build."""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from studygroup._engine.capture import Capture, Layer, Pieces
from studygroup._engine.isolate import without_side_effects
from studygroup.group import Group
from studygroup.inputs import Inputs
from studygroup.outputs import Outputs

_NOTHING = Capture()


def probe(group: Group, example: Inputs, *, capture: Capture = _NOTHING) -> Outputs:
    """Return a group's answers to one batch, in evaluation, without gradient and without side effects.

    Args:
        group: the students.
        example: one batch, as the network takes it; two rows are enough.
        capture: what to return in addition to logits.
    """
    with without_side_effects(group.model, training=False):
        outputs: Outputs = group(example, capture=capture)
    return outputs


def shapes(group: Group, example: Inputs, *, layers: Sequence[Layer]) -> dict[Layer, tuple[int, ...]]:
    """Return the shape of one row of each layer's output, for the objectives that train single layers.

    Args:
        group: the students.
        example: as for `probe`.
        layers: the layers from the input to the output.

    Raises:
        ValueError: a layer that the group does not have, that is not called, or whose output has no rows.
    """
    found = probe(group, example, capture=Capture(in_flight=tuple(layers))).in_flight
    return {layer: _row_shape(layer, found[layer]) for layer in layers}


def _row_shape(layer: Layer, pieces: Pieces) -> tuple[int, ...]:
    if not pieces:
        raise ValueError(
            f"layer {layer.name!r} is never called, or returns no tensor, so that it has nothing to learn from; "
            "leave it out"
        )
    rows, tensor = pieces[0]
    if tensor.ndim < 2 or len(tensor) != len(rows):
        raise ValueError(
            f"layer {layer.name!r} returned a tensor of shape {tuple(tensor.shape)} for {len(rows)} rows; name a "
            "layer whose output has rows along axis 0 and numbers for each"
        )
    return tuple(tensor.shape[1:])


def trunk(group: Group, example: Inputs) -> Tensor:
    """Return the representation that all students share for one batch, see `Outputs.trunk`."""
    found = probe(group, example, capture=Capture(trunk=True)).trunk
    assert found is not None
    return found


def smallest_map(group: Group, example: Inputs) -> tuple[int, int]:
    """Return height and width of the smallest map of more than one pixel that leaves a convolution, or (1, 1)."""
    sizes: list[tuple[int, int]] = []

    def note(module: nn.Module, args: Any, output: Tensor) -> None:
        sizes.append((output.shape[-2], output.shape[-1]))

    hooks = [m.register_forward_hook(note) for m in group.model.modules() if isinstance(m, nn.Conv2d)]
    try:
        probe(group, example)
    finally:
        for hook in hooks:
            hook.remove()
    return min((size for size in sizes if size != (1, 1)), key=math.prod, default=(1, 1))


def features(group: Group, example: Inputs) -> Tensor:
    """Return the first student's features for one batch, see `Outputs.features`."""
    found = probe(group, example, capture=Capture(features=True)).features
    assert found is not None
    return found[0]
