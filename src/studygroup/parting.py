"""Which students part before they enter a network: those of a routed layer that takes the ids."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from studygroup.branching import RoutedLayer, first_tensor
from studygroup.inputs import Inputs, answer
from studygroup.trace import traceless


class _ReachedError(Exception):
    """The first routed layer was reached, with its first tensor."""


def parting(model: nn.Module, layers: Iterable[RoutedLayer], inputs: Inputs) -> tuple[int, ...]:
    """Groups of students who part before they enter: those of the first routed layer, if it takes the ids.

    Nothing is computed before an embedding. What a model makes of its other inputs behind it, such as masks, then
    has as many rows as what comes out of it.

    Args:
        model: with its routed layers.
        layers: all of them.
        inputs: a few rows, as the model takes them.

    Returns:
        The number of each student's group; nothing where all enter together.
    """
    given = [inputs] if isinstance(inputs, Tensor) else list(inputs.values())

    def stop(layer: nn.Module, args: Any, kwargs: Any) -> None:
        raise _ReachedError(layer, first_tensor((args, kwargs)))

    hooks = [layer.register_forward_pre_hook(stop, with_kwargs=True) for layer in layers]
    try:
        with traceless(model, training=False):
            answer(model, inputs)
    except _ReachedError as reached:
        layer, batch = reached.args
        ids = batch is not None and not batch.is_floating_point()
        if layer.has_state and ids and any(batch is item for item in given):
            return tuple(layer.choice)
    finally:
        for hook in hooks:
            hook.remove()
    return ()
