"""A loss that trains some parameters only."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from studygroup.functional.once import refuse_second_derivative


def localized(
    loss: Float[Tensor, ""], parameters: Iterable[Tensor], *, scale: float | Float[Tensor, ""] = 1.0
) -> Float[Tensor, ""]:
    """The value of a loss, with a gradient that reaches only `parameters`: add it to any total.

    The gradient is computed at once and handed back in the ordinary backward pass, times whatever comes from above,
    so that it equals that of `loss.backward(inputs=parameters)`. Nothing is recomputed, and what lies below the
    parameters is not passed through. The loss's graph is not needed afterwards: what only the loss uses (the
    activations of a local head) is freed as soon as the caller lets go of it.

    Args:
        loss: a scalar.
        parameters: who is to learn from it. One that requires no gradient is passed over; one that the loss does
            not depend on gets zeros. A tensor hook of a parameter sees the local gradient too, before the sum of
            all.
        scale: of the loss while its gradient is computed, so that it does not underflow in half precision; it
            does not change the value or the gradient. Under a `GradScaler` give `scaler.scale(torch.ones(()))`, on
            the loss's device. A gradient that overflows becomes infinite or NaN in the backward pass, where the
            scaler finds it, and the value stays finite.

    Returns:
        A scalar; without gradient mode, or with nobody to learn, the detached loss.

    Raises:
        ValueError: a loss that is no scalar, or that depends on none of the parameters.
    """
    if loss.ndim:
        raise ValueError(f"the loss has shape {tuple(loss.shape)}; reduce it to a scalar first")
    learning = tuple(dict.fromkeys(parameter for parameter in parameters if parameter.requires_grad))
    if not torch.is_grad_enabled() or not learning:
        return loss.detach()
    gradients = _gradients(loss, learning, scale)
    value: Tensor = _HandBack.apply(loss.detach(), scale, gradients, *learning)
    return value


def _gradients(loss: Tensor, parameters: tuple[Tensor, ...], scale: float | Tensor) -> tuple[Tensor, ...]:
    """The loss's gradient times the scale; the rest of the network's graph stays."""
    start = torch.ones_like(loss) * scale
    found: tuple[Tensor | None, ...] = (None,)
    if loss.requires_grad:
        with torch.autocast(loss.device.type, enabled=False):  # as an ordinary backward pass, outside of it
            found = torch.autograd.grad(loss, parameters, start, retain_graph=True, allow_unused=True)
    if all(gradient is None for gradient in found):
        raise ValueError(
            f"the loss depends on none of the {len(parameters)} parameters; pass those of the layers that it was "
            "computed from, and compute it with gradient"
        )
    return tuple(
        torch.zeros_like(parameter) if gradient is None else gradient
        for parameter, gradient in zip(parameters, found, strict=True)
    )


class _HandBack(torch.autograd.Function):
    """A value whose gradient is known beforehand."""

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, scale: float | Tensor, gradients: tuple[Tensor, ...], *parameters: Tensor
    ) -> Tensor:
        ctx.scale = scale
        ctx.save_for_backward(*gradients)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative("localized")
        factor = above / ctx.scale
        return None, None, None, *(gradient * factor for gradient in ctx.saved_tensors)
