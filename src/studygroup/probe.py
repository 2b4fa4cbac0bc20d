"""What passes through a group for one example batch: how recipes learn the sizes of what they build."""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from studygroup.group import Outputs, StudyGroup
from studygroup.inputs import Inputs
from studygroup.peers import Peers
from studygroup.taps import Layer, Pieces
from studygroup.trace import traceless


def probe(
    group: StudyGroup | Peers, example: Inputs, *, want: Sequence[str] = (), layers: Sequence[Layer] = ()
) -> Outputs:
    """A group's answer to one batch, in evaluation, without gradient and without trace.

    Args:
        group: the students.
        example: one batch, as the network takes it; two rows are enough.
        want: as `StudyGroup.forward`.
        layers: as `StudyGroup.forward`.
    """
    with traceless(group.model, training=False):
        outputs: Outputs = group(example, want=want, layers=layers)
    return outputs


def shapes(
    group: StudyGroup | Peers, example: Inputs, *, layers: Sequence[Layer]
) -> dict[Layer, tuple[int, ...]]:
    """The shape of one row of each layer's output, for the objectives that train single layers.

    Args:
        group: the students.
        example: as for `probe`.
        layers: from the input to the output.

    Raises:
        ValueError: a layer that the group does not have, that is not called, or whose output has no rows.
    """
    found = probe(group, example, layers=layers).layers
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


def trunk(group: StudyGroup | Peers, example: Inputs) -> Tensor:
    """What all students share for one batch, see `Outputs.trunk`."""
    found = probe(group, example, want=("trunk",)).trunk
    assert found is not None
    return found


def smallest_map(group: StudyGroup | Peers, example: Inputs) -> tuple[int, int]:
    """Height and width of the smallest map of more than one pixel that leaves a convolution, or (1, 1)."""
    sizes: list[tuple[int, int]] = []

    def note(module: nn.Module, args: Any, output: Tensor) -> None:
        sizes.append((output.shape[-2], output.shape[-1]))

    hooks = [m.register_forward_hook(note) for m in group.model.modules() if isinstance(m, nn.Conv2d)]
    try:
        probe(group, example, want=())
    finally:
        for hook in hooks:
            hook.remove()
    return min((size for size in sizes if size != (1, 1)), key=math.prod, default=(1, 1))


def features(group: StudyGroup | Peers, example: Inputs) -> Tensor:
    """The first student's features for one batch, see `Outputs.features`."""
    found = probe(group, example, want=("features",)).features
    assert found is not None
    return found[0]
