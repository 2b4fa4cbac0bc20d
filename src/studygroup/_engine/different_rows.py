"""Rows that differ from each other, so that one in the place of another is seen."""

from typing import Any

import torch
from torch import Tensor

from studygroup._engine.row_inputs import Batch


def different(batch: Batch) -> Batch | None:
    """Return a batch of the same sort whose rows all differ; `None` where they do already, or cannot be made to.

    Of equal rows all but the first are drawn anew in the first tensor of numbers that carries rows, or of whole
    numbers with a further axis: between 0 and 1, or the smallest and largest of the row; whole numbers are shuffled.

    Args:
        batch: a few rows.
    """
    tensors = [part for part in batch.parts(carrying=True) if isinstance(part, Tensor) and not part.is_meta]
    equal = _equal_to_earlier(tensors, batch.rows)
    chosen = next((tensor for tensor in tensors if tensor.is_floating_point()), None)
    if chosen is None:
        chosen = next(
            (t for t in tensors if t.ndim > 1 and not t.is_complex() and t.dtype != torch.bool), None
        )
    if not equal or chosen is None:
        return None
    draw = torch.Generator().manual_seed(0)
    made = chosen.clone()
    for place in equal:
        made[place] = _drawn(chosen[place], draw)

    def replaced(value: Tensor) -> Tensor:
        return made if value is chosen else value

    return batch.with_inputs(batch.map(replaced, list))


def _equal_to_earlier(tensors: list[Tensor], rows: int) -> list[int]:
    if not tensors:
        return []
    seen: set[tuple[Any, ...]] = set()
    equal = []
    marks = [_marks(tensor) for tensor in tensors]
    for place in range(rows):
        own = tuple(mark[place] for mark in marks)
        if own in seen:
            equal.append(place)
        seen.add(own)
    return equal


def _marks(tensor: Tensor) -> list[int]:
    """Return a number for each row, equal for equal rows; of sums, rounding would tell equal ones apart."""
    if not tensor.numel():
        return [0] * len(tensor)
    flat = tensor.detach().reshape(len(tensor), -1)
    flat = (flat.abs() if flat.is_complex() else flat).double()
    marks: list[int] = torch.unique(flat, dim=0, return_inverse=True)[1].tolist()
    return marks


def _drawn(row: Tensor, draw: torch.Generator) -> Tensor:
    if row.is_floating_point():
        finite = row[torch.isfinite(row)].float().cpu()
        low = min(float(finite.min()), 0.0) if finite.numel() else 0.0
        high = max(float(finite.max()), 1.0) if finite.numel() else 1.0
        return low + (high - low) * torch.rand(row.shape, generator=draw)
    order = torch.randperm(row.numel(), generator=draw)
    flat = row.flatten().cpu()
    if bool((flat == flat[0]).all()):  # a row of one number: some of them become its neighbour
        flat = torch.where(
            torch.rand(flat.shape, generator=draw) < 0.5, flat, flat - 1 if flat[0] > 0 else flat + 1
        )
    return flat[order].view(row.shape)
