"""Weights of the students' answers in one teacher, from the labels (KDCL)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from studygroup.checks import check_flag, check_number, check_whole

_SIZES = 8  # step sizes tried at once, each four times the one before


@torch.no_grad()
def best_mixture(
    logits: Float[Tensor, "students rows classes"],
    y: Int[Tensor, " rows"],
    *,
    per_row: bool = True,
    steps: int = 20,
) -> Float[Tensor, "rows students"]:
    """Return argmin_α CE(y, Σ_k α_k z_k) with α_k ≥ 0 and Σ_k α_k = 1 (KDCL-Linear, Guo et al. 2020).

    The problem is convex: CE(y, Σ_k α_k z_k) = log Σ_c exp Σ_k α_k (z_k − z_k,y)_c. It is solved by `steps` steps of
    mirror descent, α ← α exp(−η g) / Σ, g the gradient; the smallest η is the inverse of a bound on the curvature,
    larger ones are tried beside it and the best is taken, so that no step increases the loss. The host reads nothing.
    From equal weights, 20 steps come within 1 % of the lowest cross-entropy even where logits of three students
    differ by tens.

    Args:
        logits: all students' answers z.
        y: class indices.
        per_row: one α for every row; `False`, one for the mean over the rows of the batch.
        steps: number of steps.

    Returns:
        The weights of each row, without gradient; equal rows with `per_row=False`.

    Raises:
        ValueError: another number of labels than of rows, or no step.
    """
    _check_labels(logits, y)
    check_flag("per_row", per_row)
    steps = check_whole("steps", steps, least=1)
    relative = (logits - logits.gather(-1, y.view(1, -1, 1).expand(len(logits), -1, 1))).transpose(0, 1)
    groups = relative[:, None] if per_row else relative[None]  # (problems, rows of each, students, classes)
    alpha = groups.new_full((len(groups), logits.shape[0]), 1 / logits.shape[0])
    spread = (groups.amax(-1) - groups.amin(-1)).amax((1, 2))
    sizes = 4.0 ** torch.arange(_SIZES, device=y.device) / (spread / 2).square().clamp(min=1e-6)[:, None]
    for _ in range(steps):
        answers = torch.einsum("pk,prkc->prc", alpha, groups).softmax(-1)
        slope = torch.einsum("prc,prkc->pk", answers, groups) / groups.shape[1]
        powers = alpha.clamp(min=1e-12).log()[:, None] - sizes[..., None] * slope[:, None]
        tried = torch.cat([alpha[:, None], powers.softmax(-1)], dim=1)  # (problems, sizes + 1, students)
        loss = torch.einsum("psk,prkc->psrc", tried, groups).logsumexp(-1).mean(-1)
        best = loss.argmin(1)[:, None, None].expand(-1, 1, tried.shape[-1])
        alpha = tried.gather(1, best)[:, 0]
    return alpha if per_row else alpha.expand(len(y), -1)


def error_products(
    logits: Float[Tensor, "students rows classes"], y: Int[Tensor, " rows"]
) -> Float[Tensor, "students students"]:
    """Return C_ij, the mean over rows of (f_i − t) · (f_j − t), t the label one-hot (KDCL-General).

    Args:
        logits: all students' answers z; the class probabilities are f = ψ(z; 1).
        y: class indices.

    Raises:
        ValueError: another number of labels than of rows.
    """
    _check_labels(logits, y)
    errors = logits.softmax(-1)
    errors = errors - torch.zeros_like(errors).scatter_(-1, y.view(1, -1, 1).expand(len(logits), -1, 1), 1)
    return torch.einsum("inc,jnc->ij", errors, errors) / len(y)


def least_error_weights(
    products: Float[Tensor, "students students"], *, ridge: float
) -> Float[Tensor, " students"]:
    """Return w_k = Σ_j C⁻¹_kj / Σ_ij C⁻¹_ij, the weights of sum 1 with the least mean squared error (KDCL-General).

    Weights may be negative: a negative weight subtracts that student's answer. A matrix of zeros gives equal weights.

    Args:
        products: C, see `error_products`.
        ridge: share of C's mean diagonal that is added to its diagonal, > 0: students that err alike make C
            singular.

    Raises:
        ValueError: C is no square, or a ridge that is not positive and finite.
    """
    check_number("ridge", ridge, above=0)
    if products.ndim != 2 or products.shape[0] != products.shape[1]:
        raise ValueError(
            f"products of shape {tuple(products.shape)}; hand in one number for each pair of students"
        )
    scaled = products / products.diagonal().mean().clamp(min=1e-12)
    scaled = scaled + ridge * torch.eye(len(products), dtype=products.dtype, device=products.device)
    solution, _ = torch.linalg.solve_ex(scaled, torch.ones_like(products[:, 0]))
    weights: Tensor = solution / solution.sum()
    return weights


def _check_labels(logits: Tensor, y: Tensor) -> None:
    """Refuse labels with which some rows would be silently left out."""
    if logits.ndim != 3 or y.shape != logits.shape[1:2] or y.is_floating_point():
        raise ValueError(
            f"labels of shape {tuple(y.shape)}, {y.dtype}, for logits of {tuple(logits.shape)}; hand in logits "
            "(students, rows, classes) and one class index a row"
        )
