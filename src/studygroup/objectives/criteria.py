"""Criteria: the meaning of labels, and how answers are compared with labels and, in imitation, with each other."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from studygroup.checks import check_share, check_whole, shown
from studygroup.functional import Divergence, imitation_loss, mixed_answers, pairwise_loss, peer_targets
from studygroup.teachers.base import Labels, Weights

Average = Literal["logits", "probabilities", "divergences"]
_INDICES = (torch.int64, torch.uint8)

Spread = Float[Tensor, "students rows *places classes"]
"""The students' answers with classes last."""

Taught = Float[Tensor, "teachers rows *places classes"]
"""The teachers' answers, laid out alike."""

Each = Float[Tensor, "students rows *places"]
"""One number for every answer, such as its loss."""

Counts = Shaped[Tensor, "rows *places"]
"""Weight of every answer in a mean; where it is a table, those that are true weigh 1."""


@dataclass(frozen=True)
class Comparison:
    """Settings of imitation, see `objectives.Imitation`.

    Attributes:
        temperature: T > 0.
        divergence: `"kl"` or `"cross_entropy"`.
        aggregate: what is averaged over a student's teachers.
        scale_by_t2: multiply by T².
        constant: whether targets have no gradient.
    """

    temperature: float = 1.0
    divergence: Divergence = "kl"
    aggregate: Average = "logits"
    scale_by_t2: bool = False
    constant: bool = True


class Criterion(nn.Module):
    """The base of all criteria: answers are laid out with classes last, (students, rows, *places, classes).

    Places are the positions at which a row has several answers: pixels, tokens, labels. A mean over rows is taken
    over all their places.
    """

    def spread(self, logits: Float[Tensor, "students rows *shape"]) -> Spread:
        """Return logits with classes last."""
        return logits

    def loss(self, spread: Spread, y: Labels) -> tuple[Each, Counts | None]:
        """Return the loss of every answer, and its weight in the mean; `None` where all weigh 1.

        Args:
            spread: answers as `spread` gives them.
            y: the labels.

        Raises:
            ValueError: labels of another shape or type, or, on the CPU, a label that is not a class (checking on a
                device would wait for it, and the device has its own assertion).
        """
        raise NotImplementedError

    def labelled(self, y: Labels) -> Bool[Tensor, "rows *places"] | None:
        """Return which places have a label; `None` where all have. Imitation leaves out those without."""
        return None

    def imitation(self, spread: Spread, heard: Taught, weights: Weights, how: Comparison) -> Each:
        """Return every student's distance from its targets; here answers are logits of class probabilities."""
        if how.aggregate == "divergences":
            peers = heard.detach() if how.constant else heard
            return pairwise_loss(spread, peers, weights, how.temperature, how.divergence, how.scale_by_t2)
        targets = peer_targets(heard, weights, how.temperature, how.aggregate)
        targets = targets.detach() if how.constant else targets
        return imitation_loss(spread, targets, how.temperature, how.divergence, how.scale_by_t2)


class CrossEntropy(Criterion):
    """One class per place: CE(y, ψ(z; 1)), as in `nn.CrossEntropyLoss`.

    Labels are class indices (rows, *places) of torch.int64 or uint8, or class probabilities of the logits' own shape:
    mixup, CutMix, label smoothing. Logits are (rows, classes), maps (rows, classes, height, width), or with
    `class_axis=-1` tokens (rows, tokens, classes).

    Args:
        weight: weight of each class, in the loss and in the divisor of the mean.
        ignore_index: class index of places without a label.
        label_smoothing: amount of smoothing, in [0, 1].
        class_axis: axis of the classes in the network's logits.

    Raises:
        ValueError: class weights that are negative or not finite, a smoothing outside [0, 1], or an `ignore_index` or
            `class_axis` that is no whole number.
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Float[Tensor, " classes"] | None = None,
        *,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        class_axis: int = 1,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", _check_weights("weight", weight))
        self.ignore_index = check_whole("ignore_index", ignore_index)
        self.label_smoothing = check_share("label_smoothing", label_smoothing)
        self.class_axis = check_whole("class_axis", class_axis)

    def spread(self, logits: Float[Tensor, "students rows *shape"]) -> Spread:
        """Return logits with classes last."""
        return logits.movedim(self.class_axis + 1 if self.class_axis > 0 else self.class_axis, -1)

    def loss(self, spread: Spread, y: Labels) -> tuple[Each, Counts | None]:
        """Return the cross-entropy at every place, see `Criterion.loss`."""
        classes = spread.shape[-1]
        if y.is_floating_point():
            return self._of_probabilities(spread, y), None
        self._check(spread, y)
        labelled = self.labelled(y)
        each = F.cross_entropy(
            spread.flatten(0, -2),
            y.long().flatten().repeat(len(spread)),
            weight=None if self.weight is None else self.weight.to(spread.dtype),
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction="none",
        ).view(spread.shape[:-1])
        if self.weight is None:
            return each, labelled
        there = torch.where(y == self.ignore_index, 0, y.long())
        counts = self.weight[there.clamp(0, classes - 1)]
        return each, counts if labelled is None else torch.where(labelled, counts, 0)

    def labelled(self, y: Labels) -> Bool[Tensor, "rows *places"] | None:
        """Return which places have a label; on the CPU `None` where all have."""
        if y.is_floating_point():
            return None
        there = y != self.ignore_index
        return None if self.ignore_index < 0 and y.dtype == torch.uint8 else _unless_all(there)

    def _of_probabilities(self, spread: Tensor, y: Tensor) -> Tensor:
        targets = y.movedim(self.class_axis, -1) if y.ndim > 1 else y
        if targets.shape != spread.shape[1:]:
            raise ValueError(
                f"labels of shape {tuple(y.shape)}, {y.dtype}, for logits of {tuple(spread.shape[1:])} with classes "
                "last; hand in class indices of torch.int64, or one probability for each logit"
            )
        each = F.cross_entropy(
            spread.flatten(0, -2),
            targets.to(spread).flatten(0, -2).repeat(len(spread), 1),
            weight=None if self.weight is None else self.weight.to(spread.dtype),
            label_smoothing=self.label_smoothing,
            reduction="none",
        )
        return each.view(spread.shape[:-1])

    def _check(self, spread: Tensor, y: Tensor) -> None:
        if y.dtype not in _INDICES or y.shape != spread.shape[1:-1]:
            raise ValueError(
                f"labels of shape {tuple(y.shape)}, {y.dtype}, for logits of {tuple(spread.shape[1:])} with classes "
                "last; hand in class indices of torch.int64, or one probability for each logit"
            )
        if not _can_look(y) or not y.numel() or (int(y.min()) >= 0 and int(y.max()) < spread.shape[-1]):
            return
        wrong = y[((y < 0) | (y >= spread.shape[-1])) & (y != self.ignore_index)]
        if len(wrong):
            raise ValueError(
                f"label {int(wrong[0])} is not one of 0 to {spread.shape[-1] - 1}, the classes that the network "
                "answers with; number labels from 0, and give the network as many classes"
            )


class BinaryCrossEntropy(Criterion):
    """Several labels per row, each present or not: their mean BCE(y, σ(z)), as in `nn.BCEWithLogitsLoss`.

    Every label is an answer of two classes, with logits (z, 0), so that imitation is the Kullback-Leibler divergence
    of Bernoulli distributions. Labels have the logits' own shape and lie in [0, 1]; NaN marks a missing one.

    Args:
        pos_weight: weight of a present label relative to an absent one.

    Raises:
        ValueError: weights that are negative or not finite.
    """

    pos_weight: Tensor | None

    def __init__(self, pos_weight: Float[Tensor, " labels"] | None = None) -> None:
        super().__init__()
        self.register_buffer("pos_weight", _check_weights("pos_weight", pos_weight))

    def spread(self, logits: Float[Tensor, "students rows *shape"]) -> Spread:
        """Return (z, 0) for every label."""
        return torch.stack([logits, torch.zeros_like(logits)], dim=-1)

    def loss(self, spread: Spread, y: Labels) -> tuple[Each, Counts | None]:
        """Return the binary cross-entropy of every label, see `Criterion.loss`."""
        _check_numbers(spread[..., 0], y)
        there = self.labelled(y)
        targets = (y if there is None else torch.where(there, y, 0)).to(spread)
        if _can_look(y) and not bool(((targets >= 0) & (targets <= 1)).all()):
            raise ValueError("a label lies outside [0, 1]; a label is there (1) or not (0), or a probability")
        each = F.binary_cross_entropy_with_logits(
            spread[..., 0],
            targets.expand(spread.shape[:-1]),
            pos_weight=None if self.pos_weight is None else self.pos_weight.to(spread.dtype),
            reduction="none",
        )
        return each, there

    def labelled(self, y: Labels) -> Bool[Tensor, "rows *places"] | None:
        """Return which labels are not missing; on the CPU `None` where none is."""
        return _unless_all(~y.isnan()) if y.is_floating_point() else None


class SquaredError(Criterion):
    """Real numbers: the mean of (z − y)², as in `nn.MSELoss`; imitation compares means, without temperature.

    Labels have the logits' own shape; NaN marks a missing one. Students imitate (Σ_j w_kj z_j − z_k)², or with
    `aggregate="divergences"` Σ_j w_kj (z_j − z_k)².
    """

    def spread(self, logits: Float[Tensor, "students rows *shape"]) -> Spread:
        """Return one number for every place."""
        return logits[..., None]

    def loss(self, spread: Spread, y: Labels) -> tuple[Each, Counts | None]:
        """Return the squared error of every number, see `Criterion.loss`."""
        _check_numbers(spread[..., 0], y)
        there = self.labelled(y)
        targets = (y if there is None else torch.where(there, y, 0)).to(spread)
        return (spread[..., 0] - targets).square(), there

    def labelled(self, y: Labels) -> Bool[Tensor, "rows *places"] | None:
        """Return which numbers are not missing; on the CPU `None` where none is."""
        return _unless_all(~y.isnan()) if y.is_floating_point() else None

    def imitation(self, spread: Spread, heard: Taught, weights: Weights, how: Comparison) -> Each:
        """Return squared distances; a student without teachers has distance 0."""
        said = heard.detach() if how.constant else heard
        means = mixed_answers(said, weights)
        total = weights.sum(-1).T if weights.ndim == 3 else weights.sum(-1)[:, None]  # (students, rows or 1)
        total = total.view(*total.shape, *[1] * (spread.ndim - 2)).to(spread)
        if how.aggregate == "divergences":
            each = mixed_answers(said.square(), weights) - 2 * spread * means + total * spread.square()
        else:
            each = torch.where(total > 0, (means - spread).square(), 0)
        return each.squeeze(-1)


def _check_weights(name: str, weight: Tensor | None) -> Tensor | None:
    if weight is None:
        return None
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        raise ValueError(f"{name} is {shown(weight)}; give a tensor of one floating-point number for each")
    if weight.device.type == "cpu" and not bool((weight.isfinite() & (weight >= 0)).all()):
        raise ValueError(f"{name} holds numbers from {float(weight.min())} on; give finite ones, at least 0")
    return weight


def _check_numbers(answers: Tensor, y: Tensor) -> None:
    if y.shape != answers.shape[1:]:
        raise ValueError(
            f"labels of shape {tuple(y.shape)} for answers of {tuple(answers.shape[1:])}; hand in one number for each"
        )


def _unless_all(there: Tensor) -> Tensor | None:
    """Return the table, or `None` if it is all true on the CPU; on a device, where looking would wait, the table."""
    return None if _can_look(there) and bool(there.all()) else there


def _can_look(values: Tensor) -> bool:
    """Tell whether values can be looked at without waiting for a device, and outside of compiled code."""
    return values.device.type == "cpu" and not torch.compiler.is_compiling()
