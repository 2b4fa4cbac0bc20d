"""A split with other labels."""

import torch
from jaxtyping import Int64
from torch import Tensor

from studygroup.data.splits import Rows, Split


def relabelled(split: Split, labels: Int64[Tensor, "rows"]) -> Split:
    """Return a split with these labels: the split itself if they are its own, else a view."""
    return split if torch.equal(labels, split.labels) else Relabelled(split, labels)


class Relabelled:
    """A view of a split with other labels; no row is copied or decoded for it.

    Args:
        split: where the rows come from.
        labels: class of each row.

    Raises:
        ValueError: the number of labels differs from the number of rows.
    """

    def __init__(self, split: Split, labels: Int64[Tensor, "rows"]) -> None:
        if len(labels) != len(split):
            raise ValueError(f"{len(labels)} labels for {len(split)} rows; give one for each")
        self.split = split
        self.labels = labels
        self.lengths = split.lengths

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.split)

    def __getitem__(self, indices: Int64[Tensor, "batch"]) -> tuple[Rows, Int64[Tensor, "batch"]]:
        """Return these rows with their other labels, in the order given."""
        return self.split[indices][0], self.labels[indices]

    def take(self, indices: Int64[Tensor, "batch"]) -> "Relabelled":
        """Return a view of these rows alone."""
        return Relabelled(self.split.take(indices), self.labels[indices])
