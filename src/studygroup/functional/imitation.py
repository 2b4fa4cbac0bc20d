"""Targets of imitation, the divergence of students from them, and the students' diversity."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Integer, Shaped
from torch import Tensor

from studygroup.checks import check_choice, check_flag, check_number

Aggregate = Literal["logits", "probabilities"]
"""The quantity that is averaged over several answers: logits, or class probabilities at the temperature."""
Divergence = Literal["kl", "cross_entropy"]
"""The distance of an answer from its target; both have the same gradient if targets are constants."""


def peer_targets(
    logits: Float[Tensor, "teachers rows *places classes"],
    weights: Float[Tensor, "students teachers"] | Float[Tensor, "rows students teachers"],
    temperature: float,
    aggregate: Aggregate = "logits",
) -> Float[Tensor, "students rows *places classes"]:
    """Return each student's targets: its teachers' answers, weighted and softened.

    With `aggregate="logits"` the target is ψ(Σ_j w_kj z_j; T) (CGL equations 4 and 5, Song & Chai, ONE), with
    `"probabilities"` it is Σ_j w_kj ψ(z_j; T) (DML); ψ(z; T) = softmax(z / T).

    Args:
        logits: the answers of those who are listened to, often the students themselves.
        weights: row k holds student k's weights over them; one matrix, or one for each row of the batch.
        temperature: T > 0.
        aggregate: what is averaged.

    Returns:
        Class probabilities. If a student has no teacher (a row of zeros), the target is zero, so that its loss
        is 0: zero *logits* would be a uniform target.

    Raises:
        ValueError: a temperature that is not positive and finite, or an unknown `aggregate`.
    """
    check_number("temperature", temperature, above=0)
    check_choice("aggregate", aggregate, ("logits", "probabilities"))
    answers = logits if aggregate == "logits" else F.softmax(logits / temperature, dim=-1)
    mixed = mixed_answers(answers, weights)
    targets = mixed if aggregate == "probabilities" else F.softmax(mixed / temperature, dim=-1)
    listens = (weights != 0).any(-1)
    each = (listens if weights.ndim == 3 else listens[None]).T
    return targets * each.view(*each.shape, *[1] * (targets.ndim - 2))


def mixed_answers(
    answers: Float[Tensor, "teachers rows *shape"],
    weights: Float[Tensor, "students teachers"] | Float[Tensor, "rows students teachers"],
) -> Float[Tensor, "students rows *shape"]:
    """Return Σ_j w_kj a_j: what each student hears, from logits or from probabilities.

    Args:
        answers: all teachers' answers.
        weights: row k holds student k's weights; one matrix, or one for each row of the batch.
    """
    equation = "kj,jnc->knc" if weights.ndim == 2 else "nkj,jnc->knc"
    mixed = torch.einsum(equation, weights.to(answers.dtype), answers.flatten(2))
    return mixed.view(len(mixed), *answers.shape[1:])


def imitation_loss(
    logits: Float[Tensor, "students rows *places classes"],
    targets: Float[Tensor, "students rows *places classes"],
    temperature: float,
    divergence: Divergence = "kl",
    scale_by_t2: bool = False,
) -> Float[Tensor, "students rows *places"]:
    """Return the divergence of each student from its target on each row.

    `"kl"` is KL(q ‖ ψ(z; T)) = Σ_c q_c log(q_c / ψ_c(z; T)) (CGL equation 4, ONE, OKDDip), `"cross_entropy"`
    is −Σ_c q_c log ψ_c(z; T) (Song & Chai); they differ by the entropy of q, which a detached target makes
    constant. No ε is added to targets: 0 log 0 is 0 by definition, and an ε would bias every gradient.

    Args:
        logits: the students' answers z.
        targets: probabilities q; a row of zeros (nobody to imitate) has loss 0.
        temperature: T > 0.
        divergence: one of these two.
        scale_by_t2: multiply by T², so that gradients keep their size as T grows (Hinton et al. 2015).

    Raises:
        ValueError: a temperature that is not positive and finite, an unknown `divergence`, or targets of another
            shape.
    """
    check_number("temperature", temperature, above=0)
    check_choice("divergence", divergence, ("kl", "cross_entropy"))
    check_flag("scale_by_t2", scale_by_t2)
    _check_shapes("targets", targets, logits)
    loss = -(targets * F.log_softmax(logits / temperature, dim=-1)).sum(-1)
    if divergence == "kl":
        some = torch.where(targets > 0, targets, 1)  # 0 log 0 is 0, its gradient too
        loss = loss + (targets * some.log()).sum(-1)
    return loss * temperature**2 if scale_by_t2 else loss


def pairwise_loss(
    logits: Float[Tensor, "students rows *places classes"],
    answers: Float[Tensor, "teachers rows *places classes"],
    weights: Float[Tensor, "students teachers"] | Float[Tensor, "rows students teachers"],
    temperature: float,
    divergence: Divergence = "kl",
    scale_by_t2: bool = False,
) -> Float[Tensor, "students rows *places"]:
    """Return each student's divergence from its peers: Σ_j w_kj D(ψ(z_j; T) ‖ ψ(z_k; T)) (DML).

    D is linear in its targets but for their entropy H, so one target per student serves instead of one per pair:
    Σ_j w_kj KL(p_j ‖ p_k) = CE(Σ_j w_kj p_j, p_k) − Σ_j w_kj H(p_j). The gradient with respect to z_k is that
    of `imitation_loss` on averaged probabilities; the value is the printed one, and larger.

    Args:
        logits: the students' answers z_k.
        answers: the answers z_j that they imitate; detach them for constant targets.
        weights: as for `peer_targets`.
        temperature: T > 0.
        divergence: `"kl"` or `"cross_entropy"`.
        scale_by_t2: multiply by T².

    Raises:
        ValueError: as `imitation_loss`.
    """
    targets = peer_targets(answers, weights, temperature, "probabilities")
    if divergence != "kl":
        return imitation_loss(logits, targets, temperature, divergence, scale_by_t2)
    loss = imitation_loss(logits, targets, temperature, "cross_entropy", scale_by_t2)
    log_p = F.log_softmax(answers / temperature, dim=-1)
    entropy = mixed_answers(-(log_p.exp() * log_p).sum(-1, keepdim=True), weights).squeeze(-1)
    return loss - (entropy * temperature**2 if scale_by_t2 else entropy)


def label_loss(
    logits: Float[Tensor, "students rows classes"],
    y: Integer[Tensor, " rows"] | Float[Tensor, "rows classes"],
) -> Float[Tensor, "students rows"]:
    """Return the cross-entropy of every student's answer on every row, at T = 1.

    Args:
        logits: all students' answers.
        y: class indices, or a probability for each class.
    """
    labels = y.repeat(len(logits), *[1] * (y.ndim - 1))
    each = F.cross_entropy(logits.flatten(0, 1), labels, reduction="none")
    return each.view(logits.shape[:2])


def masked_mean(
    values: Float[Tensor, "students rows *places"],
    sees: Bool[Tensor, "students rows"],
    counts: Shaped[Tensor, "rows *places"] | None = None,
) -> Float[Tensor, " students"]:
    """Return each student's mean over the rows that it sees, and their places; 0 for a student that sees none.

    Args:
        values: loss of every answer.
        sees: which student sees which row.
        counts: what each answer adds to the divisor of the sum, such as a class weight; omitted, 1. A table of bools
            says which answers count, and the others' values are left out.
    """
    seen = sees.view(*sees.shape, *[1] * (values.ndim - 2))
    if counts is None:
        counted = torch.where(seen, values, 0)
        return counted.flatten(1).sum(1) / (seen.expand_as(values).flatten(1).sum(1)).clamp(min=1)
    # a class of weight 0 still has a value under label smoothing
    counted = torch.where(seen & counts if counts.dtype == torch.bool else seen, values, 0)
    number = (seen * counts.to(values)).expand_as(values).flatten(1).sum(1)
    return counted.flatten(1).sum(1) / torch.where(number > 0, number, 1)


def diversity(
    probabilities: Float[Tensor, "students rows classes"],
    sees: Bool[Tensor, "students rows"] | None = None,
) -> Float[Tensor, ""]:
    """Return the mean L2 distance between two students' class probabilities (CGL, table 6), in [0, √2].

    Args:
        probabilities: softmax of the students' answers; the paper's figure is on the test set in eval at T = 1.
        sees: which student saw which row; a pair counts on the rows that both saw.

    Returns:
        The mean over pairs and rows; 0 where there is no pair.
    """
    students = len(probabilities)
    first, second = torch.triu_indices(students, students, offset=1, device=probabilities.device)
    distances: Tensor = torch.linalg.vector_norm(probabilities[first] - probabilities[second], dim=-1)
    if sees is None:
        return distances.mean() if len(first) else distances.sum()
    both = sees[first] & sees[second]
    return torch.where(both, distances, 0).sum() / both.sum().clamp(min=1)


def disagreement(logits: Float[Tensor, "students rows classes"]) -> Float[Tensor, ""]:
    """Return the share of rows on which two students predict different classes, mean over pairs; 0 without pairs."""
    students = len(logits)
    first, second = torch.triu_indices(students, students, offset=1, device=logits.device)
    named = logits.argmax(-1)
    differ = (named[first] != named[second]).to(logits.dtype)
    return differ.mean() if len(first) else differ.sum()


def _check_shapes(name: str, given: Tensor, logits: Tensor) -> None:
    """Refuse what would be stretched over students or rows without a word."""
    if given.shape != logits.shape:
        raise ValueError(
            f"{name} of shape {tuple(given.shape)} for logits of {tuple(logits.shape)}; hand in as many of each"
        )
