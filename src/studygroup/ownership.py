"""Ownership of rows: what a method requires of the data, and the table that a batch's owners give."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from studygroup import bibliography
from studygroup.inputs import on_host


class NoOwnerWarning(UserWarning):
    """Students should have rows of their own, but no owners were given."""


@dataclass(frozen=True)
class SharedRows:
    """Requirement on the data: all students see every row, one batch for all."""


@dataclass(frozen=True)
class Subsets:
    """Requirement on the data: every student has a sub-set of its own, drawn once (CGL).

    Attributes:
        overlap: 0 for disjoint sub-sets that cover the training set, 1 for the whole set for every student.
    """

    overlap: float = 0.0
    sources: ClassVar[tuple[str, ...]] = (bibliography.CGL,)


def owner_table(
    owner: Int[Tensor, " rows"] | Sequence[int], *, rows: int, students: int
) -> Bool[Tensor, "students rows"]:
    """Return the table of which student is supervised on which row.

    Raises:
        ValueError: not one number per row, or a number that is no student's.
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
