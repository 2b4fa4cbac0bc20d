"""Ownership of rows: what a method requires of the data, and the table that a batch's owners give."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from studygroup import bibliography
from studygroup.checks import check_share, check_whole, shown
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

    Raises:
        ValueError: an overlap outside [0, 1].
    """

    overlap: float = 0.0
    sources: ClassVar[tuple[str, ...]] = (bibliography.CGL,)

    def __post_init__(self) -> None:
        check_share("overlap", self.overlap, of="the rows of the others")


def owner_table(
    owner: Int[Tensor, " rows"] | Sequence[int], *, rows: int, students: int
) -> Bool[Tensor, "students rows"]:
    """Return the table of which student is supervised on which row.

    Raises:
        ValueError: not one number per row, or a number that is no student's.
    """
    try:
        given = torch.as_tensor(owner)
    except (TypeError, ValueError, RuntimeError) as error:  # texts, rows of unequal length, None
        raise ValueError(f"owner is {shown(owner)}; hand in one student number a row ({rows})") from error
    table = on_host(given, "owner")
    numbers = not (table.is_floating_point() or table.is_complex() or table.dtype == torch.bool)
    if table.shape != (rows,) or not numbers:
        raise ValueError(
            f"owner is {table.dtype} of shape {tuple(table.shape)}; hand in one student number a row ({rows})"
        )
    table = table.long()
    wrong = table[(table < 0) | (table >= students)]
    if len(wrong):
        raise ValueError(f"owner {int(wrong[0])} is not one of students 0 to {students - 1}")
    return torch.arange(students)[:, None] == table


def owners(rows: int, *, students: int, generator: torch.Generator | None = None) -> Int[Tensor, " rows"]:
    """Deal the rows of one batch to the students at random, so that nobody has one row alone.

    For loops over a plain loader of batches: `task(x, y, owner=sg.owners(len(x), students=3))`. Each student gets as
    many rows as the others, up to one; with fewer than two rows a student, some students, drawn at random, get none.
    Every batch is dealt anew. For sub-sets that are drawn once, as in CGL, use `studygroup.data.StudentBatches`.

    Args:
        rows: number of rows in the batch, at least 2.
        students: number of students.
        generator: source of the draws, on the CPU; omitted, torch's global one.

    Returns:
        The student of each row, on the CPU.

    Raises:
        ValueError: no student, or fewer than two rows.

    Example:
        >>> sg.owners(7, students=3).bincount().sort().values
        tensor([2, 2, 3])
    """
    if check_whole("rows", rows) < 2 or check_whole("students", students) < 1:
        raise ValueError(
            f"{rows} rows cannot be dealt to {students} students so that nobody is alone with one; hand in at least "
            "2 rows and 1 student (a last short batch: drop_last=True)"
        )
    having = torch.randperm(students, generator=generator)[: rows // 2]
    dealt = having[torch.arange(rows) % len(having)]
    return dealt[torch.randperm(rows, generator=generator)]
