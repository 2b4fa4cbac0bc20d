"""Pairs of students, and symmetric matrices of their values."""

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor


def pairs_of(students: int) -> list[tuple[int, int]]:
    """Return all pairs of so many students, the lower number first.

    Raises:
        ValueError: there is no pair.
    """
    if students < 2:
        raise ValueError(
            f"{students} student: there is no pair to compare; give two networks, or the run of a method that trains "
            "several students"
        )
    return list(combinations(range(students), 2))


def symmetric(values: Float[Tensor, "pairs *rest"], students: int, *, own: float) -> Tensor:
    """Return values in the order of `pairs_of` as a matrix (students, students, *rest) with `own` on its diagonal."""
    first, second = torch.tensor(pairs_of(students), device=values.device).T
    matrix = values.new_full((students, students, *values.shape[1:]), own)
    matrix[first, second] = matrix[second, first] = values
    return matrix


def over_pairs(matrix: Float[Tensor, "students students"]) -> float:
    """Return the mean over pairs of a symmetric matrix, in double precision; waits for the device."""
    first, second = torch.tensor(pairs_of(len(matrix))).T
    return float(matrix.cpu().double()[first, second].mean())


def pair_table(matrix: list[list[float]], *, head: str, form: str = ".3f") -> list[tuple[str, ...]]:
    """Return a matrix of students, as `tolist` gives it, as rows of text; `head` is above the first column."""
    students = range(len(matrix))
    return [
        (head, *(str(k) for k in students)),
        *((f"student {k}", *(format(value, form) for value in matrix[k])) for k in students),
    ]
