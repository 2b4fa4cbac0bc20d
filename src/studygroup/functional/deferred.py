"""Gradients that are formed inside the backward pass, when what lies above a tensor is gone."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Form = Callable[[Tensor, Tensor, tuple[Tensor, ...]], Sequence[Tensor | None]]
"""Map the upstream gradient, the tensor and the constants to one gradient per learning tensor."""


def deferred(
    form: Form, tensor: Tensor, learning: Sequence[Tensor], constants: Sequence[Tensor] = ()
) -> Float[Tensor, ""]:
    """Return a zero that brings gradients of your own making: add it to any total.

    They are made when the backward pass comes to `tensor`: what was computed from it has been gone through and its
    activations are freed; the graph of the tensor itself is still there. Nothing is held until then but `tensor` and
    `constants`. The gradients arrive through autograd, summed with all others, so that DistributedDataParallel,
    gradient accumulation, a GradScaler and `torch.autograd.grad` work as for any loss. The tensor itself gets none.

    Of the nodes of a graph that are ready, autograd takes the one that was made last. This zero's node is ready from
    the beginning; it takes on the place of the node that made `tensor`, and so lets all later ones go first. That
    node in turn waits for it, as for any that has `tensor` among its inputs, in whatever order autograd goes.

    Args:
        form: called with the zero's gradient (a scalar which holds any weight and any loss scale), `tensor` and the
            constants; gives a gradient, or `None`, for each of `learning`. It may use
            `torch.autograd.grad(tensor, ..., retain_graph=True)`. Gradient mode is off in it, and so is autocast.
        tensor: where in the backward pass.
        learning: the tensors that get the gradients.
        constants: what else `form` looks at. To change them, or those that learn, before the backward pass is an
            error there.

    Returns:
        A scalar in single precision at least; without gradient mode, or with nothing that learns, a constant.

    Raises:
        RuntimeError: in the backward pass, where a graph of it is asked for.
    """
    if not any(each.requires_grad for each in learning):
        return tensor.new_zeros((), dtype=_precise(tensor))
    zero: Tensor = _Deferred.apply(form, tensor, len(learning), *learning, *constants)
    node: Any = zero.grad_fn
    if node is not None and tensor.grad_fn is not None:
        node._set_sequence_nr(tensor.grad_fn._sequence_nr())
    return zero


class _Deferred(torch.autograd.Function):
    """A zero that asks for its gradients when they are wanted."""

    @staticmethod
    def forward(ctx: Any, form: Form, tensor: Tensor, count: int, *others: Tensor) -> Tensor:
        ctx.form, ctx.count = form, count
        ctx.save_for_backward(tensor, *others)
        return tensor.new_zeros((), dtype=_precise(tensor))

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative("a loss whose gradient is deferred")
        tensor, *others = ctx.saved_tensors
        constants = tuple(others[ctx.count :])
        with torch.autocast(tensor.device.type, enabled=False):  # as an ordinary backward pass, outside of it
            gradients = ctx.form(factor, tensor, constants)
        return None, None, None, *gradients, *(None for _ in constants)


def _precise(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)


def refuse_second_derivative(name: str) -> None:
    """Refuse a graph of a backward pass, whose result would silently be taken for a constant; call it there first.

    Raises:
        RuntimeError: a graph of the backward pass is asked for.
    """
    if torch.is_grad_enabled():
        raise RuntimeError(
            f"{name} can be differentiated once, and a graph of its gradient is asked for; call backward without "
            "create_graph=True, or leave this term out of the total"
        )
