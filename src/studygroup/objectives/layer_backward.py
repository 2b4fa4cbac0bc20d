"""The backward pass of losses that train single layers: into the layer and what is built on it, and no further."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from studygroup._engine.capture import Layer
from studygroup._engine.products import Product, passing
from studygroup.functional import deferred
from studygroup.group import Group
from studygroup.outputs import Outputs

Answer = Callable[[Tensor], Tensor]
"""Computes an objective's head output from a layer's output: small, and the same when it is called again."""


class LayerGradients:
    """Collect the objectives' gradients of each layer in a step, so that each layer has one backward pass for all."""

    def __init__(self) -> None:
        self._wanted: dict[Layer, list[tuple[Answer, nn.Module, Sequence[Tensor]]]] = {}

    def add(self, layer: Layer, answer: Answer, head: nn.Module, gradients: Sequence[Tensor]) -> None:
        """Record the gradients of one objective at a layer.

        Args:
            layer: the layer.
            answer: maps the layer's output to what the objective looks at.
            head: the module that the objective has built on the layer.
            gradients: gradients of the weighted loss, at the answer to each module's output.
        """
        self._wanted.setdefault(layer, []).append((answer, head, gradients))

    def total(self, group: Group, outputs: Outputs) -> Float[Tensor, ""] | None:
        """Return a zero that brings all these gradients into any total; `None` where there are none."""
        zeros = []
        for layer, wanted in self._wanted.items():
            answers, heads, gradients = zip(*wanted, strict=True)
            one = OneLayer(
                answers,
                [module for name in layer.modules for module in group.copies(name)],
                heads,
                products=outputs.products,
                device=outputs.logits.device,
            )
            for (_, hidden), *columns in zip(outputs.in_flight[layer], *gradients, strict=True):
                zeros.append(one.learns(hidden, columns))
        return torch.stack([zero.float() for zero in zeros]).sum() if zeros else None


class OneLayer:
    """The parameters that learn from a layer's losses, inside the backward pass when it reaches the layer.

    If kept from the forward pass on, the activations of all layers' classifiers and projections would be alive at
    once, on top of the network's own. So the answers are computed again, and their gradients go through the layer,
    when everything above it is freed.

    Args:
        answers: the answer function of each objective.
        layer: the layer's modules, with all copies.
        own: the modules that the objectives have built on it.
        products: convolutions that can share their weight-gradient product, see `_engine.products`.
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
            cache_enabled=False,  # older versions of torch remember weights cast without gradient
        )

    def learns(self, hidden: Tensor, gradients: Sequence[Tensor]) -> Float[Tensor, ""]:
        """Return a zero that brings the gradients of the layer and of the modules built on it into any total.

        Args:
            hidden: the output of one of the layer's modules.
            gradients: gradients of the losses, at each objective's answer to it.
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
    """Return the gradient of each input (a tensor, or an edge of the graph), `None` where it has none."""
    ends = [(end, start) for end, start in zip(outputs, starts, strict=True) if start is not None]
    ends = [(end, start) for end, start in ends if end.requires_grad]
    if not (ends and inputs):
        return [None for _ in inputs]
    outputs, begins = zip(*ends, strict=True)
    return torch.autograd.grad(outputs, inputs, begins, retain_graph=retain_graph, allow_unused=True)
