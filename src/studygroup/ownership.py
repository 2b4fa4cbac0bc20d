"""Whose rows are whose: what a method asks of the data, and the table that a batch's owners give."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from studygroup import bibliography
from studygroup.inputs import on_host


class NoOwnerWarning(UserWarning):
    """Students were to have rows of their own, and nothing says which rows are whose."""


@dataclass(frozen=True)
class SharedRows:
    """What a method asks of the data: all students see every row, one batch for all."""


@dataclass(frozen=True)
class Subsets:
    """What a method asks of the data: every student has a sub-set of its own, drawn once (CGL).

    Attributes:
        overlap: 0 for disjoint sub-sets that cover the training set, 1 for the whole set for everybody.
    """

    overlap: float = 0.0
    sources: ClassVar[tuple[str, ...]] = (bibliography.CGL,)


def owner_table(
    owner: Int[Tensor, " rows"] | Sequence[int], *, rows: int, students: int
) -> Bool[Tensor, "students rows"]:
    """Return the table of who is supervised on which row.

    Raises:
        ValueError: not one number a row, or one that is not a student's.
    """
    table = on_host(torch.as_tensor(owner), "owner")
    if table.shape != (rows,) or table.is_floating_point():
        raise ValueError(
            f"owner is {table.dtype} of shape {tuple(table.shape)}; hand in one student number a row ({rows})"
        )
    wrong = table[(table < 0) | (table >= students)]
    if len(wrong):
        raise ValueError(f"owner {int(wrong[0])} is not one of students 0 to {students - 1}")
    return torch.arange(students)[:, None] == table
