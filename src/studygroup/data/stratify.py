"""Stratified draws of rows: every class keeps its share."""

import torch
from jaxtyping import Int64
from torch import Tensor

from studygroup.checks import check_whole
from studygroup.seeding import generator


def stratified(labels: Int64[Tensor, "rows"], count: int, *, seed: int, draw: str) -> Int64[Tensor, "count"]:
    """Draw `count` rows at random, each class in proportion to its rows.

    Places are allotted by largest remainder: a class with 10.6 by proportion gets 10 or 11.

    Args:
        labels: class of each row, at least 0.
        count: how many rows, from 0 to all of them.
        seed: equal seeds give equal rows.
        draw: what the rows are for; different names draw independently from one seed.

    Returns:
        Row numbers in ascending order.

    Raises:
        ValueError: `count` is negative or more than there are rows.
    """
    if not 0 <= check_whole("count", count) <= len(labels):
        raise ValueError(
            f"cannot draw {count} of {len(labels)} rows for {draw!r}; ask for 0 to {len(labels)}"
        )
    sizes = torch.bincount(labels)
    places = _largest_remainder(sizes, count)
    rng = generator(seed, draw)
    # a random order, then a stable sort by class: the first places of each class are a random choice of its rows
    order = torch.randperm(len(labels), generator=rng)
    order = order[torch.argsort(labels[order], stable=True)]
    rank = torch.arange(len(labels)) - (sizes.cumsum(0) - sizes)[labels[order]]
    return order[rank < places[labels[order]]].sort().values


def _largest_remainder(sizes: Int64[Tensor, "classes"], count: int) -> Int64[Tensor, "classes"]:
    """Return the places of each class: proportional to its size, whole numbers, `count` in sum."""
    total = max(int(sizes.sum()), 1)
    places = sizes * count // total
    left = count - int(places.sum())
    by_remainder = torch.argsort(sizes * count % total, descending=True, stable=True)
    places[by_remainder[:left]] += 1
    return places
