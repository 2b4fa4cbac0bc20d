"""What a method asks of the data, and what a step costs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from studygroup import bibliography
from studygroup.group import Outputs
from studygroup.precision import single
from studygroup.selection import to_device


@dataclass(frozen=True)
class SharedRows:
    """What a method asks of the data: all students see every row, one batch for all."""


@dataclass(frozen=True)
class Subsets:
    """What a method asks of the data: every student has a sub-set of his own, drawn once (CGL).

    Attributes:
        overlap: 0 for disjoint sub-sets that cover the training set, 1 for the whole set for everybody.
    """

    overlap: float = 0.0
    sources: ClassVar[tuple[str, ...]] = (bibliography.CGL,)


@dataclass(frozen=True)
class Losses:
    """What a step costs.

    Attributes:
        total: weighted sum over students and parts; call `backward` on it.
        supervised: cross-entropy of each student, unweighted.
        imitation: imitation loss of each student, unweighted.
        auxiliary: further parts by name, unweighted.
        logits: answers under supervision, zero where a student is not supervised on the row.
    """

    total: Float[Tensor, ""]
    supervised: Float[Tensor, " students"]
    imitation: Float[Tensor, " students"]
    auxiliary: Mapping[str, Float[Tensor, ""]]
    logits: Float[Tensor, "students rows classes"]


def precise(outputs: Outputs) -> Outputs:
    """Losses are added in single precision at least: under autocast outputs come in half."""
    return replace(
        outputs,
        logits=single(outputs.logits),
        features=None if outputs.features is None else single(outputs.features),
        trunk=None if outputs.trunk is None else single(outputs.trunk),
    )


def only(outputs: Outputs, sees: Bool[Tensor, "students rows"], *, gradient: bool = True) -> Outputs:
    """Take a part of what a pass answered: zero elsewhere, as though nothing else had been asked.

    Args:
        outputs: logits, features, trunk and taps of a pass.
        sees: the part; a CPU table.
        gradient: whether the part has a gradient.
    """

    def part(values: Tensor) -> Tensor:
        mask = to_device(sees, values.device)
        kept = torch.where(mask.view(*mask.shape, *[1] * (values.ndim - 2)), values, 0)
        return kept if gradient else kept.detach()

    trunk = outputs.trunk if gradient or outputs.trunk is None else outputs.trunk.detach()
    features = None if outputs.features is None else part(outputs.features)
    taps = {name: part(values) for name, values in outputs.taps.items()}
    return Outputs(part(outputs.logits), sees, features, trunk, taps)
