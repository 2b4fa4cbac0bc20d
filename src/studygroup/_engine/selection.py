"""Selection of several sets of rows of a tensor at once, with as few copies as possible."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

_MOST_PIECES = 64  # above this many slices, one gather is cheaper than a concatenation


class Selection:
    """Take several sets of rows from tensors laid end to end: slices where rows are contiguous, else a gather.

    Slices come from one `split`, whose backward is one concatenation; a set that is a whole tensor is that
    tensor, not a copy.

    Args:
        wanted: the row numbers of each set, counted through all tensors.
        sizes: number of rows of each tensor.
    """

    def __init__(self, wanted: Sequence[Int[Tensor, " _"]], sizes: Sequence[int]) -> None:
        self.wanted = list(wanted)
        self.sizes = list(sizes)
        self._index: dict[torch.device, Tensor] = {}
        breaks = [(index.diff() != 1).nonzero().flatten() + 1 for index in wanted]
        few = sum(len(b) + 1 for b in breaks) + len(sizes) <= _MOST_PIECES
        self._sliced = few and all(map(len, wanted)) and all(sizes)  # a set or a tensor may have no rows
        if self._sliced:
            self._slice([_runs(index, b) for index, b in zip(wanted, breaks, strict=True)])

    def _slice(self, runs: list[list[tuple[int, int]]]) -> None:
        cuts = _cuts(runs, self.sizes)
        number = {start: i for i, start in enumerate(cuts)}
        self._cut = _pieces_per_tensor(cuts, self.sizes)
        self._paste = [
            [piece for start, end in one for piece in range(number[start], number[end])] for one in runs
        ]
        used = [piece for pieces in self._paste for piece in pieces]
        self._partition = len(used) == len(set(used))

    def __call__(self, tensors: Sequence[Shaped[Tensor, "_ *shape"]]) -> list[Shaped[Tensor, "_ *shape"]]:
        """Return the sets of rows, in the order of `wanted`; they keep the tensors' memory format."""
        if not self._sliced:
            whole = tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
            taken = whole[self._on(whole.device)]
            return list(taken.unsafe_split_with_sizes([len(index) for index in self.wanted]))
        pieces: list[Tensor] = []
        for tensor, sizes in zip(tensors, self._cut, strict=True):
            # Torch forbids in-place work on the outputs of `split`; where no two sets share a piece it is safe.
            safe = Tensor.unsafe_split_with_sizes if self._partition else Tensor.split_with_sizes
            pieces += [tensor] if len(sizes) == 1 else list(safe(tensor, sizes))
        return [
            pieces[numbers[0]] if len(numbers) == 1 else torch.cat([pieces[i] for i in numbers])
            for numbers in self._paste
        ]

    def _on(self, device: torch.device) -> Tensor:
        if device not in self._index:
            with torch.inference_mode(False):  # later passes use it again
                self._index[device] = to_device(torch.cat(self.wanted), device)
        return self._index[device]


def to_device(table: Tensor, device: torch.device) -> Tensor:
    """Move a small host table without stopping the device."""
    return table.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else table.to(device)


def _runs(index: Tensor, breaks: Tensor) -> list[tuple[int, int]]:
    """Return the maximal runs of consecutive numbers as (start, end)."""
    if not len(index):
        return []
    firsts = torch.cat([torch.zeros(1, dtype=torch.long), breaks])
    lasts = torch.cat([breaks, torch.tensor([len(index)])]) - 1
    return list(zip(index[firsts].tolist(), (index[lasts] + 1).tolist(), strict=True))


def _cuts(runs: list[list[tuple[int, int]]], sizes: list[int]) -> list[int]:
    """Return where to cut the tensors, laid end to end, so that every run consists of whole pieces."""
    offsets = [0]
    for size in sizes:
        offsets.append(offsets[-1] + size)
    return sorted({*offsets, *(end for one in runs for run in one for end in run)})


def _pieces_per_tensor(cuts: list[int], sizes: list[int]) -> list[list[int]]:
    pieces, start = [], 0
    for size in sizes:
        inside = [cut for cut in cuts if start <= cut <= start + size]
        pieces.append([b - a for a, b in pairwise(inside)])
        start += size
    return pieces
