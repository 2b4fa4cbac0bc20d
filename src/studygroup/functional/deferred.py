"""Gradients formed inside the backward pass, when the activations above a tensor are freed."""

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

    They are computed when the backward pass reaches `tensor`: what was computed from it is done and its activations
    are freed; the graph of the tensor itself still exists. Until then only `tensor` and `constants` are held. The
    gradients arrive through autograd, summed with all others, so that DistributedDataParallel, gradient accumulation,
    a GradScaler and `torch.autograd.grad` work as for any loss. The tensor itself gets none.

    Of the nodes of a graph that are ready, autograd runs the one created last. This zero's node is ready from the
    beginning; it takes the sequence number of the node that created `tensor`, and so lets all later ones go first.
    That node in turn waits for it, as for any with `tensor` among its inputs, in whatever order autograd goes.

    Args:
        form: maps the zero's gradient (a scalar which holds any weight and any loss scale), `tensor` and the
            constants to a gradient, or `None`, for each of `learning`. It may use
            `torch.autograd.grad(tensor, ..., retain_graph=True)`. It runs without gradient mode and autocast.
        tensor: the point of the backward pass at which `form` is called.
        learning: the tensors that get the gradients.
        constants: further arguments of `form`. Changing them, or the tensors that learn, before the backward pass is
            an error there.

    Returns:
        A scalar in single precision at least; without gradient mode, or with nothing that learns, a constant.

    Raises:
        RuntimeError: in the backward pass, where `create_graph` is set.
    """
    if not any(each.requires_grad for each in learning):
        return tensor.new_zeros((), dtype=_precise(tensor))
    zero: Tensor = _Deferred.apply(form, tensor, len(learning), *learning, *constants)
    node: Any = zero.grad_fn
    if node is not None and tensor.grad_fn is not None:
        node._set_sequence_nr(tensor.grad_fn._sequence_nr())
    return zero


class _Deferred(torch.autograd.Function):
    """A zero that computes its gradients when the backward pass reaches it."""

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
    """Refuse `create_graph`, under which a result would silently be a constant; call it first in a backward pass.

    Raises:
        RuntimeError: a graph of the backward pass is requested.
    """
    if torch.is_grad_enabled():
        raise RuntimeError(
            f"{name} can be differentiated once, and a graph of its gradient is asked for; call backward without "
            "create_graph=True, or leave this term out of the total"
        )
