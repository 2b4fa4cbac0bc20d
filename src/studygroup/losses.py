"""What a method asks of the data, and what a step costs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from studygroup import bibliography
from studygroup.group import Outputs
from studygroup.precision import single


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
        logits: answers in the supervised pass, zero where a student did not see the row.
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
