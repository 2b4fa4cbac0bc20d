"""Similarity of a batch's rows in a representation (intra-model collaborative learning, equation 8).

Computed in single precision at least, under autocast too.
"""

from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from studygroup.checks import check_choice, check_whole
from studygroup.functional.deferred import refuse_second_derivative
from studygroup.functional.precision import single

Centre = Literal["channels", "batch"]
"""Which mean is subtracted from a row's vector: its own over channels, or the batch's."""
Statistic = Literal["deviation", "flatten"]
"""The representation of a feature map: each channel's standard deviation over places, or all of its values."""

_ROUNDING = 32  # so many rounding steps of a vector's length count as no variation at all


def similarity_matrix(
    h: Float[Tensor, "rows channels *space"],
    *,
    centre: Centre = "channels",
    statistic: Statistic = "deviation",
) -> Float[Tensor, "rows rows"]:
    """Return the similarity of a batch's rows: S_ij = cosine(z̃_i, z̃_j) (intra-model paper, equation 8).

    z_i,c is the standard deviation over space of channel c of row i, z̃ the same minus its mean. Whether the
    deviation is the population's or the sample's does not matter, as the cosine has no scale. Maps of one pixel, and
    (rows, channels), give their values. A row that does not vary (all z̃ are 0, up to rounding) has similarity 0 to
    all rows, itself included, and gets no gradient; nor does a constant map. Maps can be differentiated once.

    Reading:
        "substracting mean from z" leaves open which mean; each row's over its channels is what the local-error-signal
        paper takes (Nøkland & Eidnes 2019), from which the metric comes.

    Args:
        h: a representation, channels along axis 1.
        centre: `"channels"` subtracts each row's mean over its channels, `"batch"` each channel's mean over the rows.
        statistic: `"deviation"` as printed; `"flatten"` takes all values of a row as z, as the local-error-signal
            paper does where there are only a few channels, such as those of a picture.

    Returns:
        Values in [-1, 1], symmetric.

    Raises:
        ValueError: fewer than two values per row, centred over them (always 0); an unknown `centre` or `statistic`.
    """
    check_choice("centre", centre, ("channels", "batch"))
    check_choice("statistic", statistic, ("deviation", "flatten"))
    with torch.autocast(h.device.type, enabled=False):
        z = deviations(h) if statistic == "deviation" else single(h.flatten(1))
        if centre == "channels" and z.shape[1] < 2:
            raise ValueError(
                f"each row has {z.shape[1]} value to compare, which centring over channels makes 0; use "
                "statistic='flatten', centre='batch', or a layer of at least 2 channels"
            )
        units = _units(z - z.mean(1 if centre == "channels" else 0, keepdim=True), z)
        return units @ units.T


def deviations(h: Float[Tensor, "rows channels *space"]) -> Float[Tensor, "rows channels"]:
    """Return each channel's standard deviation over space: z of equation 8, all that `similarity_matrix` uses.

    Maps of one pixel, and (rows, channels), give their values, so that the similarities of z are those of h.

    Args:
        h: a representation, channels along axis 1.
    """
    with torch.autocast(h.device.type, enabled=False):
        z: Tensor = single(h.flatten(1)) if h.shape[2:].numel() == 1 else _Deviation.apply(h)
    return z


def label_similarity(
    y: Int[Tensor, " rows"] | Float[Tensor, "rows classes"],
    *,
    classes: int,
    centre: Centre = "channels",
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "rows rows"]:
    """Return S(y), the similarity of one-hot rows of length `classes`.

    Centred over classes it is 1 between rows of one class and −1/(C−1) between others.

    Args:
        y: class indices, or a probability for each class. A row of a negative label, which stands for none, has
            similarity 0 to all.
        classes: C, at least 2.
        centre: as for `similarity_matrix`.
        dtype: dtype of the result.

    Raises:
        ValueError: as `similarity_matrix`, fewer than two classes, or, on the CPU, a label that is no class.
    """
    check_whole("classes", classes, least=2)
    wrong = y.ndim != (2 if y.is_floating_point() else 1) or y.dtype == torch.bool
    if wrong or (y.ndim == 2 and y.shape[1] != classes):
        raise ValueError(
            f"labels of shape {tuple(y.shape)}, {y.dtype}, for {classes} classes; hand in one class index a row, or "
            "one probability for each class"
        )
    if y.ndim == 1 and y.device.type == "cpu" and bool((y >= classes).any()):
        raise ValueError(f"a label is {int(y.max())}; number classes from 0 to {classes - 1}")
    # not one_hot, which waits for the device to check the indices
    one_hot = y if y.is_floating_point() else y[:, None] == torch.arange(classes, device=y.device)
    return similarity_matrix(one_hot.to(dtype), centre=centre)


class _Deviation(torch.autograd.Function):
    """Each map's deviation over space, dσ/dh = (h − µ)/(nσ): half the time of `std`, and nothing but h is kept."""

    @staticmethod
    def forward(ctx: Any, h: Tensor) -> Tensor:
        space = tuple(range(2, h.ndim))
        precise = single(h)
        mean = precise.mean(space, keepdim=True)
        deviation = (precise - mean).square_().mean(space, keepdim=True).sqrt()
        varies = deviation > _ROUNDING * torch.finfo(precise.dtype).eps * mean.abs()
        deviation = torch.where(varies, deviation, 0)
        ctx.save_for_backward(h, mean, deviation)
        return deviation.flatten(1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        refuse_second_derivative("similarity_matrix")
        h, mean, deviation = ctx.saved_tensors
        inverse = torch.where(deviation > 0, deviation, torch.inf).reciprocal()
        factor = gradient.view_as(deviation) * inverse / h.shape[2:].numel()
        centred: Tensor = single(h) - mean
        return centred.mul_(factor).to(h.dtype)


def _units(
    centred: Float[Tensor, "rows values"], values: Float[Tensor, "rows values"]
) -> Float[Tensor, "rows values"]:
    """Return rows of norm 1; a row that varies by rounding alone (a grey picture's channels) is 0, not noise."""
    lengths: Tensor = torch.linalg.vector_norm(centred, dim=1, keepdim=True)
    rounding = torch.finfo(values.dtype).eps * torch.linalg.vector_norm(values.detach(), dim=1, keepdim=True)
    varies = lengths > _ROUNDING * rounding
    return torch.where(varies, centred, 0) / torch.where(varies, lengths, 1)
