"""The rows in flight: which sample each row of the batch is, and for which students it stands.

A pure book-keeping of small CPU tables. Rows stand in one canonical order, by lowest student and then by
sample, so that equal row counts mean equal rows: a residual or a mask made before a split fits after it, or
fails by its shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

_MOST_PIECES = 64  # above this many slices, one gather is cheaper than a concatenation


@dataclass(frozen=True, eq=False)
class Rows:
    """One line for each row in flight.

    Attributes:
        students: which students the row stands for.
        sample: which row of the caller's batch it is.
        entry: its position among the rows that entered the network.
    """

    students: Bool[Tensor, "rows students"]
    sample: Int[Tensor, " rows"]
    entry: Int[Tensor, " rows"]

    def __len__(self) -> int:
        return len(self.sample)

    def __getitem__(self, index: Tensor) -> "Rows":
        return Rows(self.students[index], self.sample[index], self.entry[index])

    def canonical(self) -> Tensor:
        """The order of these rows by lowest student, then by sample."""
        lowest = self.students.to(torch.uint8).argmax(1)  # argmax names the first of equal values
        samples = int(self.sample.max()) + 1 if len(self) else 1
        return torch.argsort(lowest * samples + self.sample)


class Selection:
    """Takes several sets of rows from tensors that lie end to end: slices where rows are contiguous, else a gather.

    Slices come from one `split`, whose backward is one concatenation; a set that is a whole tensor is that
    tensor, not a copy.

    Args:
        wanted: for each set the row numbers, counted through all tensors.
        sizes: how many rows each tensor has.
    """

    def __init__(self, wanted: Sequence[Int[Tensor, " _"]], sizes: Sequence[int]) -> None:
        self.wanted = list(wanted)
        self.sizes = list(sizes)
        self._index: dict[torch.device, Tensor] = {}
        breaks = [(index.diff() != 1).nonzero().flatten() + 1 for index in wanted]
        self._sliced = sum(len(b) + 1 for b in breaks) + len(sizes) <= _MOST_PIECES
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

    @cached_property
    def moves_nothing(self) -> bool:
        """Whether the only set is the only tensor."""
        return self._sliced and self._paste == [[0]] and self._cut == [self.sizes]

    def __call__(self, tensors: Sequence[Shaped[Tensor, "_ *shape"]]) -> list[Shaped[Tensor, "_ *shape"]]:
        """The sets of rows, in the order of `wanted`; they keep the tensors' memory format."""
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
            self._index[device] = to_device(torch.cat(self.wanted), device)
        return self._index[device]


@dataclass(frozen=True, eq=False)
class Split:
    """What happens to the rows at one routed layer.

    Attributes:
        modules: the modules that have rows, ascending.
        parts: the rows of each of them.
        idle: the modules without rows.
        rows: the rows after the layer.
        branches: into how many rows each row before the layer parts.
        take: from the tensor before the layer to one tensor a module.
        take_entry: the same from a tensor whose rows stand as they entered the network.
        restore: from the modules' outputs to the tensor after the layer.
    """

    modules: tuple[int, ...]
    parts: tuple[Rows, ...]
    idle: tuple[int, ...]
    rows: Rows
    branches: Int[Tensor, " rows"]
    take: Selection
    take_entry: Selection
    restore: Selection

    def branches_on(self, device: torch.device) -> Int[Tensor, " rows"]:
        """`branches`, on the device of the rows."""
        return to_device(self.branches, device)


class Plan:
    """All that is decided on the host about one pattern of who sees what; kept and used again.

    Args:
        sees: which student sees which row of the batch, on the CPU.

    Attributes:
        entry: the rows as they enter the network: those that somebody sees.
    """

    def __init__(self, sees: Bool[Tensor, "students samples"]) -> None:
        self.sees = sees
        sample = sees.any(0).nonzero().flatten()
        rows = Rows(sees.T[sample], sample, sample)
        order = rows.canonical()
        self.entry = Rows(rows.students[order], rows.sample[order], torch.arange(len(order)))
        self.enter = Selection([self.entry.sample], [sees.shape[1]])
        self._splits: dict[tuple[tuple[int, ...], int, Rows], Split] = {}
        self._leaves: dict[tuple[Rows, ...], _Leave] = {}

    def split(self, rows: Rows, choice: tuple[int, ...], modules: int) -> Split:
        """Splits rows at a layer where student k takes module `choice[k]` of `modules`."""
        key = (choice, modules, rows)
        if key not in self._splits:
            self._splits[key] = _split(rows, choice, modules, entries=len(self.entry))
        return self._splits[key]

    def leave(self, pieces: Sequence[tuple[Rows, Tensor]]) -> Tensor:
        """Lays rows out as (students, samples, ...); zero where a student did not see the sample."""
        key = tuple(rows for rows, _ in pieces)
        if key not in self._leaves:
            self._leaves[key] = _Leave(key, self.sees)
        return self._leaves[key]([tensor for _, tensor in pieces])

    def leave_shared(self, piece: tuple[Rows, Tensor]) -> Tensor:
        """Lays rows that nobody has parted from out as (samples, ...); zero where nobody saw the sample."""
        rows, tensor = piece
        together = Rows(torch.ones(len(rows), 1, dtype=torch.bool), rows.sample, rows.entry)
        return _Leave([together], self.sees.any(0, keepdim=True))([tensor])[0]


class _Leave:
    """From rows in flight to (students, samples, ...)."""

    def __init__(self, rows: Sequence[Rows], sees: Bool[Tensor, "students samples"]) -> None:
        students = torch.cat([part.students for part in rows])
        sample = torch.cat([part.sample for part in rows])
        self.shape = sees.shape
        self.nobody = len(students)
        place = torch.full(sees.shape, self.nobody)
        row, student = students.nonzero().unbind(1)
        place[student, sample[row]] = row
        self.shared = bool((place == torch.arange(sees.shape[1])).all())
        self.missing = bool((place == self.nobody).any())
        self.select = Selection([place.flatten()], [self.nobody + 1] if self.missing else [self.nobody])

    def __call__(self, tensors: Sequence[Tensor]) -> Tensor:
        whole = tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
        if self.shared:
            return whole.expand(*self.shape, *whole.shape[1:])
        if self.missing:
            whole = torch.cat([whole, whole.new_zeros(1, *whole.shape[1:])])
        return self.select([whole])[0].view(*self.shape, *whole.shape[1:])


def to_device(table: Tensor, device: torch.device) -> Tensor:
    """Moves a small host table without stopping the device."""
    return table.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else table.to(device)


def _split(rows: Rows, choice: tuple[int, ...], modules: int, *, entries: int) -> Split:
    takes = torch.tensor(choice)
    sources, parts, busy = [], [], []
    for module in range(modules):
        students = rows.students & (takes == module)
        source = students.any(1).nonzero().flatten()
        if len(source):
            part = Rows(students[source], rows.sample[source], rows.entry[source])
            order = part.canonical()
            sources.append(source[order])
            parts.append(part[order])
            busy.append(module)
    ends = Rows(
        *(torch.cat([getattr(part, name) for part in parts]) for name in ("students", "sample", "entry"))
    )
    order = ends.canonical()
    unmoved = len(order) == len(rows)
    return Split(
        modules=tuple(busy),
        parts=tuple(parts),
        idle=tuple(module for module in range(modules) if module not in busy),
        rows=rows if unmoved else ends[order],
        branches=torch.bincount(torch.cat(sources), minlength=len(rows)),
        take=Selection(sources, [len(rows)]),
        take_entry=Selection([part.entry for part in parts], [entries]),
        restore=Selection([order], [len(part) for part in parts]),
    )


def _runs(index: Tensor, breaks: Tensor) -> list[tuple[int, int]]:
    """Maximal runs of ascending neighbours as (start, end)."""
    if not len(index):
        return []
    firsts = torch.cat([torch.zeros(1, dtype=torch.long), breaks])
    lasts = torch.cat([breaks, torch.tensor([len(index)])]) - 1
    return list(zip(index[firsts].tolist(), (index[lasts] + 1).tolist(), strict=True))


def _cuts(runs: list[list[tuple[int, int]]], sizes: list[int]) -> list[int]:
    """Where the tensors, end to end, must be cut so that every run is made of whole pieces."""
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
