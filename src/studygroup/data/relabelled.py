"""A split under other labels."""

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from studygroup.data.images import Shape
from studygroup.data.splits import Split


def relabelled(split: Split, labels: Int64[Tensor, "rows"]) -> Split:
    """A split with these labels: itself where they are its own, else a view."""
    return split if torch.equal(labels, split.labels) else Relabelled(split, labels)


class Relabelled:
    """A view of a split with other labels; no image is copied or decoded for it.

    Args:
        split: where the images come from.
        labels: class of each row.

    Raises:
        ValueError: not one label for each row.
    """

    def __init__(self, split: Split, labels: Int64[Tensor, "rows"]) -> None:
        if len(labels) != len(split):
            raise ValueError(f"{len(labels)} labels for {len(split)} rows; give one for each")
        self.split = split
        self.labels = labels
        self.shape: Shape = split.shape

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.split)

    def __getitem__(
        self, indices: Int64[Tensor, "batch"]
    ) -> tuple[UInt8[Tensor, "batch channels height width"], Int64[Tensor, "batch"]]:
        """The images and the other labels of these rows, in their order."""
        return self.split[indices][0], self.labels[indices]

    def take(self, indices: Int64[Tensor, "batch"]) -> "Relabelled":
        """A view of these rows alone."""
        return Relabelled(self.split.take(indices), self.labels[indices])
