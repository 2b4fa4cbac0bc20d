"""Correlation of the filters of one convolution (intra-model collaborative learning, equation 10)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from studygroup.checks import check_whole
from studygroup.functional.deferred import refuse_second_derivative
from studygroup.functional.precision import single

_ROUNDING = 32  # a row whose deviation is so many rounding steps of its mean is constant


def kernel_decorrelation(weight: Float[Tensor, "filters *kernel"], *, groups: int = 1) -> Float[Tensor, ""]:
    """Return L_kernel = ‖C − diag(C)‖_F, C = W̃W̃ᵀ/G, of a convolution's or a linear layer's weight.

    W̃ is the weight as a matrix of F filters by G values, each row standardised to zero mean and unit population
    deviation, so that C holds the filters' correlations. A constant row is uncorrelated with all and gets no
    gradient. The norm is as printed, neither squared nor divided by the number of pairs. Its gradient at 0 is 0.

    The gradient is in closed form: forward and backward take one product of F × G × min(F, G) numbers each, and
    between them no more than the square of min(F, G) is kept beside the weight. It can be differentiated once.

    Reading:
        "(W − µ(W)/σ(W))" is printed with its bracket in the wrong place.

    Args:
        weight: filters along axis 0, as in `nn.Conv1d` to `nn.Conv3d` and `nn.Linear`. Transposed convolutions have
            theirs along axis 1.
        groups: number of groups of a grouped convolution; filters of different groups read different channels and are
            not compared, so that a depthwise convolution has the loss 0.

    Raises:
        ValueError: the number of filters is no multiple of `groups`, or a weight of one axis, such as a bias.
    """
    if weight.ndim < 2:
        raise ValueError(
            f"a weight of shape {tuple(weight.shape)} has no filters to compare; hand in that of a convolution or a "
            "linear layer"
        )
    if len(weight) % check_whole("groups", groups, least=1):
        raise ValueError(f"{len(weight)} filters do not divide into {groups} groups")
    loss: Tensor = _Decorrelation.apply(weight, groups)
    return loss


class _Decorrelation(torch.autograd.Function):
    """Form the product of W̃ = s (W − µ), s = 1/σ, on the shorter side and keep it for the backward pass.

    Where there are fewer filters than values it is C itself: with O its off-diagonal, dL/dW̃ = 2 O W̃ / (L G). Where
    there are more it is M = W̃ᵀW̃/G, which has the same norm as C: L² = ‖M‖² − F, as each C_ii is 1, and
    O W̃ = W̃ M − W̃. Standardising removes from a row's gradient its mean, which is 0 as W̃'s rows have mean 0, and
    its part along W̃_i.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, groups: int) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            rows = _rows(weight, groups)
            mean = rows.mean(-1, keepdim=True)
            standard = rows - mean
            deviation = torch.linalg.vector_norm(standard, dim=-1, keepdim=True) / rows.shape[-1] ** 0.5
            varies = deviation > _ROUNDING * torch.finfo(rows.dtype).eps * mean.abs()
            inverse = torch.where(varies, deviation, 1).reciprocal() * varies
            if rows.shape[-2] > rows.shape[-1]:
                standard.mul_(inverse)
                product = (standard.mT @ standard).div_(rows.shape[-1])
                loss: Tensor = (product.square().sum() - varies.sum()).clamp(min=0).sqrt()
            else:
                product = (standard @ standard.mT).mul_(inverse).mul_(inverse.mT / rows.shape[-1])
                product.diagonal(dim1=-2, dim2=-1).zero_()
                loss = torch.linalg.vector_norm(product)
        ctx.groups = groups
        ctx.save_for_backward(weight, product, mean, inverse, loss)
        return loss

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        refuse_second_derivative("kernel_decorrelation")
        weight, product, mean, inverse, loss = ctx.saved_tensors
        with torch.autocast(weight.device.type, enabled=False):
            rows = _rows(weight, ctx.groups)
            factor = 2 * gradient / (torch.where(loss > 0, loss, 1) * rows.shape[-1])
            if rows.shape[-2] > rows.shape[-1]:
                standard = (rows - mean).mul_(inverse)
                result = (standard @ product).sub_(standard)
                along = torch.linalg.vecdot(result, standard)[..., None] / rows.shape[-1]
                result.addcmul_(standard, along, value=-1).mul_(inverse * factor)
            else:  # all on the small square: O W̃ has the part Σ_j O_ij² along W̃_i
                mixed = product * inverse.mT
                mixed.diagonal(dim1=-2, dim2=-1).sub_(product.square().sum(-1) * inverse.squeeze(-1))
                result = mixed.mul_(inverse * factor) @ (rows - mean)
            return _like(result, weight), None


def _rows(weight: Tensor, groups: int) -> Tensor:
    """Return (groups, filters of a group, values), without a copy; the order of the values does not matter."""
    weight = single(weight)
    ordered = weight.movedim(1, -1) if _channels_last(weight) else weight
    return ordered.reshape(groups, len(weight) // groups, -1)


def _like(rows: Tensor, weight: Tensor) -> Tensor:
    """Return rows as a gradient of the weight, in its memory format."""
    if _channels_last(weight):
        return rows.view(len(weight), *weight.shape[2:], weight.shape[1]).movedim(-1, 1).to(weight.dtype)
    return rows.view(weight.shape).to(weight.dtype)


def _channels_last(weight: Tensor) -> bool:
    return weight.ndim == 4 and not weight.is_contiguous() and weight.movedim(1, -1).is_contiguous()
