"""The backward pass of one layer's losses: into the layer and what is built on it, and no further."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from studygroup.functional import deferred
from studygroup.functional.products import Product, passing

Answer = Callable[[Tensor], Tensor]
"""What an objective makes of a layer's output: small, and the same when it is asked again."""


class OneLayer:
    """Who learns from a layer's losses, and how: inside the backward pass, when that comes to the layer.

    Kept from the forward pass on, the activations of all layers' classifiers and projections would be alive at once,
    on top of the network's own. So the answers are computed once more, and their gradients go through the layer, when
    all that lies above is gone.

    Args:
        answers: of each objective.
        layer: the layer's modules, with all copies.
        own: what the objectives have built on it.
        products: convolutions that can share their product of weights, see `functional.products`.
        device: where the layer runs.
    """

    def __init__(
        self,
        answers: Sequence[Answer],
        layer: Iterable[nn.Module],
        own: Iterable[nn.Module],
        *,
        products: Mapping[Tensor, Sequence[Product]],
        device: torch.device,
    ) -> None:
        self.answers = answers
        learning = _learning(layer)
        self.products = tuple({id(p): p for each in learning for p in products.get(each, ())}.values())
        self.layer = tuple(parameter for parameter in learning if parameter not in products)
        self.own = _learning(own)
        self.autocast = partial(
            torch.autocast,
            device.type,
            dtype=torch.get_autocast_dtype(device.type),
            enabled=torch.is_autocast_enabled(device.type),
        )

    def learns(self, hidden: Tensor, gradients: Sequence[Tensor]) -> Float[Tensor, ""]:
        """A zero that brings the gradients of the layer and of what is built on it into any total.

        Args:
            hidden: the output of one of the layer's modules.
            gradients: of the losses, at each objective's answer to it.
        """
        shares = [product.share for product in self.products]
        return deferred(self._form, hidden, (*self.own, *self.layer, *shares), gradients)

    def _form(self, factor: Tensor, hidden: Tensor, gradients: tuple[Tensor, ...]) -> list[Tensor | None]:
        inner = [*self.layer, *(product.output for product in self.products)]
        through = hidden.requires_grad and bool(inner)
        with torch.enable_grad(), self.autocast():
            top = hidden.view_as(hidden)  # not hidden itself, whose own hooks run below
            answers = [answer(top) for answer in self.answers]
        starts = [gradient * factor for gradient in gradients]
        found = _gradients(answers, starts, [*self.own, top] if through else self.own)
        del answers  # with all that they keep
        of_own, at_hidden = found[: len(self.own)], found[len(self.own) :]
        if not through:
            return [*of_own, *(None for _ in inner)]
        with passing(self.products):
            return [*of_own, *_gradients([hidden], at_hidden, inner, retain_graph=True)]


def _learning(modules: Iterable[nn.Module]) -> tuple[nn.Parameter, ...]:
    parameters = (parameter for module in modules for parameter in module.parameters())
    return tuple(dict.fromkeys(parameter for parameter in parameters if parameter.requires_grad))


def _gradients(
    outputs: Sequence[Tensor],
    starts: Sequence[Tensor | None],
    inputs: Sequence[Any],
    *,
    retain_graph: bool = False,
) -> Sequence[Tensor | None]:
    """Of each input (tensors, and places in the graph), `None` where it has none."""
    ends = [(end, start) for end, start in zip(outputs, starts, strict=True) if start is not None]
    ends = [(end, start) for end, start in ends if end.requires_grad]
    if not (ends and inputs):
        return [None for _ in inputs]
    outputs, begins = zip(*ends, strict=True)
    return torch.autograd.grad(outputs, inputs, begins, retain_graph=retain_graph, allow_unused=True)
