"""Which rows each student sees, and in which order."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int32, Int64
from torch import Tensor
from torch.utils.data import Sampler

from studygroup.data.stratify import without
from studygroup.seeding import generator

_WINDOW = 64  # batches among which rows of like length are gathered; more gather closer and shuffle less


class Draw(NamedTuple):
    """What a step is to hold; tensors on the CPU.

    Attributes:
        rows: row numbers.
        owner: the student that each row belongs to; None where all students see every row.
        epoch: of the step, so that who serves it can give what depends on the epoch, such as labels with noise.
    """

    rows: Int64[Tensor, "batch"]
    owner: Int64[Tensor, "batch"] | None
    epoch: int


def subsets(
    rows: int, students: int, *, overlap: float = 0.0, seed: int = 0
) -> tuple[Int64[Tensor, "_subset"], ...]:
    """Splits the training rows among the students at random, once (CGL).

    The rows are dealt into disjoint parts that cover all of them. Beside its own part, each student then gets
    a random draw of the other parts' rows: the share `overlap` of them, rounded. With 0 the sub-sets stay
    disjoint, with 1 every student has all rows; in between, a sub-set has n + overlap * (rows - n) rows, n =
    rows / students.

    Args:
        rows: how many training rows there are.
        students: how many sub-sets to make.
        overlap: share of the others' rows that a student gets too, in [0, 1].
        seed: equal seeds give equal sub-sets.

    Returns:
        Ascending row numbers of each student; the sizes differ by at most 1.

    Raises:
        ValueError: fewer rows than students, no student, or an overlap outside [0, 1].
    """
    if not 1 <= students <= rows:
        raise ValueError(f"cannot deal {rows} rows to {students} students; give at least one row to each")
    if not 0 <= overlap <= 1:
        raise ValueError(f"overlap is {overlap}; give a share in [0, 1]")
    rng = generator(seed, "subsets")
    dealt = []
    for own in torch.randperm(rows, generator=rng).tensor_split(students):
        others = without(rows, own)
        extra = others[torch.randperm(len(others), generator=rng)[: round(overlap * len(others))]]
        dealt.append(torch.cat([own, extra]).sort().values)
    return tuple(dealt)


class EpochBatches(Sampler[Draw]):
    """Batches whose order is a pure function of seed and epoch.

    The epoch is told by `set_epoch`, which Lightning calls by itself before every epoch. Base of the samplers
    below.

    Where rows are of different lengths, rows of like length share a step, so that little of it is padding: the
    shuffled rows of 64 steps are sorted by length, cut into steps, and these are shuffled. Every student's rows go
    through the same, so that all students' rows of a step are alike.

    Args:
        parts: row numbers of each part; every step takes `batch_size` rows of each.
        batch_size: rows of each part in a step.
        seed: of the order.
        shuffle: whether each part is put in a new order every epoch.
        drop_last: leave out a last step in which some part has fewer than `batch_size` rows.
        lengths: of all rows, by row number; omitted, rows are of one size. Without `shuffle`, the shortest come
            first.

    Raises:
        ValueError: a batch size below 1.
    """

    def __init__(
        self,
        parts: Sequence[Int64[Tensor, "_part"]],
        *,
        batch_size: int,
        seed: int,
        shuffle: bool,
        drop_last: bool,
        lengths: Int32[Tensor, "rows"] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; give at least 1")
        self.parts, self.lengths = tuple(parts), lengths
        self.batch_size, self.seed = batch_size, seed
        self.shuffle, self.drop_last = shuffle, drop_last
        self.epoch = 0
        self._resumed = (0, 0)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration gives."""
        self.epoch = epoch

    def resume(self, *, epoch: int, step: int) -> None:
        """Lets this epoch begin with this step; other epochs are whole, and `len` is that of a whole one."""
        self.epoch = epoch
        self._resumed = (epoch, step)

    def __len__(self) -> int:
        """Steps in a whole epoch."""
        shortest, longest = min(map(len, self.parts)), max(map(len, self.parts))
        if self.drop_last:
            return shortest // self.batch_size
        odd = shortest == longest - 1 and shortest % self.batch_size == 0 and shortest > 0
        return math.ceil((shortest if odd else longest) / self.batch_size)

    def __iter__(self) -> Iterator[Draw]:
        """The steps of the current epoch, from the resumed one on."""
        orders = [self._order(number, part) for number, part in enumerate(self.parts)]
        current, (epoch, step) = self.epoch, self._resumed
        first = step if epoch == current else 0
        for number in range(first, len(self)):
            last = number == len(self) - 1 and not self.drop_last
            end = None if last else (number + 1) * self.batch_size
            rows, owner = self._rows([order[number * self.batch_size : end] for order in orders])
            yield Draw(rows, owner, current)

    def _order(self, number: int, part: Int64[Tensor, "part"]) -> Int64[Tensor, "part"]:
        """One part in this epoch's order."""
        if not self.shuffle:
            return part if self.lengths is None else part[self.lengths[part].argsort(stable=True)]
        rng = generator(self.seed, "batches", self.epoch, number)
        order = part[torch.randperm(len(part), generator=rng)]
        if self.lengths is None:
            return order
        steps = min(map(len, self.parts)) // self.batch_size  # which all parts have
        whole, rest = order[: steps * self.batch_size], order[steps * self.batch_size :]
        windows = torch.split(whole, _WINDOW * self.batch_size)
        return torch.cat([*(self._alike(*window, self.lengths) for window in enumerate(windows)), rest])

    def _alike(
        self, window: int, rows: Int64[Tensor, "some"], lengths: Int32[Tensor, "rows"]
    ) -> Int64[Tensor, "some"]:
        """The rows of some steps, those of like length together, and the steps shuffled as in every other part."""
        steps = rows[lengths[rows].argsort(stable=True)].view(len(rows) // self.batch_size, self.batch_size)
        rng = generator(self.seed, "windows", self.epoch, window)
        return steps[torch.randperm(len(steps), generator=rng)].flatten()

    def _rows(self, chosen: Sequence[Int64[Tensor, "_rows"]]) -> tuple[Tensor, Tensor | None]:
        """Rows and owners of one step from the rows chosen of each part."""
        raise NotImplementedError


class StudentBatches(EpochBatches):
    """Every step holds rows of each student's own sub-set, as in CGL.

    Yields row numbers and their owners, student 0's first. The last step of an epoch may be short; students
    whose sub-set is used up are then absent from it. Where only the odd row of some students would be left for
    it (sub-sets are equal to ±1), it joins the step before: batch normalisation cannot work on one row.

    Args:
        subsets: row numbers of each student, see `subsets`.
        batch_size: rows of *each* student in a step.
        seed: of the order inside the sub-sets, drawn anew every epoch.
        drop_last: leave out a last step in which some student has fewer than `batch_size` rows.
        lengths: of all rows, see `EpochBatches`.

    Raises:
        ValueError: no sub-sets, an empty one, or a batch size below 1.
    """

    def __init__(
        self,
        subsets: Sequence[Int64[Tensor, "_subset"]],
        *,
        batch_size: int = 64,
        seed: int = 0,
        drop_last: bool = False,
        lengths: Int32[Tensor, "rows"] | None = None,
    ) -> None:
        sizes = [len(rows) for rows in subsets]
        if min(sizes, default=0) == 0:
            raise ValueError(f"the students have {sizes} rows; give each at least one")
        super().__init__(
            subsets, batch_size=batch_size, seed=seed, shuffle=True, drop_last=drop_last, lengths=lengths
        )

    def _rows(self, chosen: Sequence[Int64[Tensor, "_rows"]]) -> tuple[Tensor, Tensor | None]:
        owner = torch.repeat_interleave(torch.tensor([len(rows) for rows in chosen]))
        return torch.cat(list(chosen)), owner


class SharedBatches(EpochBatches):
    """All students see every row: yields row numbers, and None for the owners.

    Args:
        rows: how many rows there are.
        batch_size: rows in a step.
        seed: of the order, drawn anew every epoch.
        shuffle: False keeps the rows in their order, or in that of their lengths, for evaluation.
        drop_last: leave out a last short step.
        lengths: of all rows, see `EpochBatches`.
    """

    def __init__(
        self,
        rows: int,
        *,
        batch_size: int = 64,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        lengths: Int32[Tensor, "rows"] | None = None,
    ) -> None:
        parts = [torch.arange(rows)]
        super().__init__(
            parts, batch_size=batch_size, seed=seed, shuffle=shuffle, drop_last=drop_last, lengths=lengths
        )

    def _rows(self, chosen: Sequence[Int64[Tensor, "_rows"]]) -> tuple[Tensor, Tensor | None]:
        return chosen[0], None
