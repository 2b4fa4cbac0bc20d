"""A split under other labels."""

import torch
from jaxtyping import Int64
from torch import Tensor

from studygroup.data.splits import Rows, Split


def relabelled(split: Split, labels: Int64[Tensor, "rows"]) -> Split:
    """A split with these labels: itself where they are its own, else a view."""
    return split if torch.equal(labels, split.labels) else Relabelled(split, labels)


class Relabelled:
    """A view of a split with other labels; no row is copied or decoded for it.

    Args:
        split: where the rows come from.
        labels: class of each row.

    Raises:
        ValueError: not one label for each row.
    """

    def __init__(self, split: Split, labels: Int64[Tensor, "rows"]) -> None:
        if len(labels) != len(split):
            raise ValueError(f"{len(labels)} labels for {len(split)} rows; give one for each")
        self.split = split
        self.labels = labels
        self.lengths = split.lengths

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.split)

    def __getitem__(self, indices: Int64[Tensor, "batch"]) -> tuple[Rows, Int64[Tensor, "batch"]]:
        """These rows and their other labels, in their order."""
        return self.split[indices][0], self.labels[indices]

    def take(self, indices: Int64[Tensor, "batch"]) -> "Relabelled":
        """A view of these rows alone."""
        return Relabelled(self.split.take(indices), self.labels[indices])
