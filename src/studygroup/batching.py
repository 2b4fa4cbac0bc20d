"""Samplers: the rows that each student sees, and their order."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float64, Int32, Int64
from torch import Tensor
from torch.utils.data import Sampler

from studygroup.checks import check_flag, check_share, check_whole, shown
from studygroup.ownership import Subsets
from studygroup.seeding import derive, generator
from studygroup.task import CollaborativeLearning

_WINDOW = 64  # batches whose rows are sorted by length together; more means less padding and less shuffling


class Draw(NamedTuple):
    """The rows of one step; tensors on the CPU.

    Attributes:
        rows: row numbers.
        owner: the student that each row belongs to; None where all students see every row.
        epoch: of the step, for anything that depends on it, such as labels with noise.
    """

    rows: Int64[Tensor, "batch"]
    owner: Int64[Tensor, "batch"] | None
    epoch: int


class DrawPart(NamedTuple):
    """The rows of one step that are one process's.

    Attributes:
        draw: the rows.
        share: what each student's rows here count, see `parallel.Part`; on the CPU.
    """

    draw: Draw
    share: Float64[Tensor, "students"]


def subsets(
    rows: int, students: int, *, overlap: float = 0.0, seed: int = 0
) -> tuple[Int64[Tensor, "_subset"], ...]:
    """Split the training rows among the students at random, once (CGL).

    The rows are dealt into disjoint parts that cover all of them. In addition to its own part, each student gets
    a random draw of the other parts' rows: the share `overlap` of them, rounded. With 0 the subsets stay
    disjoint, with 1 every student has all rows; in between, a subset has n + overlap * (rows - n) rows, n =
    rows / students.

    Args:
        rows: how many training rows there are.
        students: how many subsets to make.
        overlap: share of the other parts' rows that each student also gets, in [0, 1].
        seed: equal seeds give equal subsets.

    Returns:
        Ascending row numbers of each student; the sizes differ by at most 1.

    Raises:
        ValueError: fewer rows than students, no student, or an overlap outside [0, 1].
    """
    if not 1 <= check_whole("students", students) <= check_whole("rows", rows):
        raise ValueError(f"cannot deal {rows} rows to {students} students; give at least one row to each")
    check_share("overlap", overlap, of="the rows of the others")
    rng = generator(seed, "subsets")
    dealt = []
    for own in torch.randperm(rows, generator=rng).tensor_split(students):
        others = without(rows, own)
        extra = others[torch.randperm(len(others), generator=rng)[: round(overlap * len(others))]]
        dealt.append(torch.cat([own, extra]).sort().values)
    return tuple(dealt)


def without(total: int, rows: Int64[Tensor, "rows"]) -> Int64[Tensor, "others"]:
    """Return the row numbers below `total` that are not among `rows`, in ascending order."""
    kept = torch.ones(total, dtype=torch.bool)
    kept[rows] = False
    return kept.nonzero().flatten()


class EpochBatches(Sampler[Draw]):
    """Batches whose order is a pure function of seed and epoch.

    The epoch is set by `set_epoch`, which Lightning calls before every epoch. Base class of the samplers below.

    The last step that a part has rows in may be short, but it holds two of them at least: a single row left over
    joins the step before, since batch normalisation cannot work on one row. (With a batch size of 1, or one row in
    all, there is nothing to join.)

    Where rows differ in length, rows of similar length share a step, so that little of it is padding: the shuffled
    rows of 64 steps are sorted by length, cut into steps, and these are shuffled. Every student's rows are treated
    the same way, so that all students' rows of a step have similar lengths.

    Args:
        parts: row numbers of each part; every step takes `batch_size` rows of each.
        batch_size: rows of each part in a step.
        seed: of the order.
        shuffle: whether each part is put in a new order every epoch.
        drop_last: whether to leave out a last step in which some part has fewer than `batch_size` rows.
        lengths: of all rows, by row number; if omitted, rows are of one size. Without `shuffle`, the shortest come
            first.

    Raises:
        ValueError: a batch size below 1, row numbers that are no whole numbers, or a seed that is none.
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
        self.parts, self.lengths = tuple(_row_numbers(part) for part in parts), lengths
        self.batch_size = check_whole("batch_size", batch_size, least=1)
        self.seed = check_whole("seed", seed)
        self.shuffle, self.drop_last = check_flag("shuffle", shuffle), check_flag("drop_last", drop_last)
        self.epoch = 0
        self._resumed = (0, 0)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = check_whole("epoch", epoch, least=0)

    def resume(self, *, epoch: int, step: int) -> None:
        """Start this epoch at this step; other epochs stay whole, and `len` is that of a whole one."""
        self.set_epoch(epoch)
        self._resumed = (self.epoch, check_whole("step", step, least=0))

    def __len__(self) -> int:
        """Return the number of steps in a whole epoch."""
        return (min if self.drop_last else max)(map(self._steps, self.parts), default=0)

    def __iter__(self) -> Iterator[Draw]:
        """Yield the steps of the current epoch, from the resumed one on."""
        orders = [self._order(number, part) for number, part in enumerate(self.parts)]
        current, (epoch, step) = self.epoch, self._resumed
        first = step if epoch == current else 0
        for number in range(first, len(self)):
            rows, owner = self._rows([self._chosen(order, number) for order in orders])
            yield Draw(rows, owner, current)

    def _steps(self, part: Int64[Tensor, "part"]) -> int:
        """Return the number of steps that a part has rows for; a single row left over joins the step before."""
        whole, left = divmod(len(part), self.batch_size)
        return whole + (not self.drop_last and (left > 1 or (left == 1 and not whole)))

    def _chosen(self, order: Int64[Tensor, "part"], number: int) -> Int64[Tensor, "chosen"]:
        """Return a part's rows in one step."""
        last = number == self._steps(order) - 1 and not self.drop_last
        end = None if last else (number + 1) * self.batch_size
        return order[number * self.batch_size : end] if number < self._steps(order) else order[:0]

    def _order(self, number: int, part: Int64[Tensor, "part"]) -> Int64[Tensor, "part"]:
        """Return one part's rows in this epoch's order."""
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
        """Return the rows of some steps, grouped by length, with the steps shuffled as in every other part."""
        steps = rows[lengths[rows].argsort(stable=True)].view(len(rows) // self.batch_size, self.batch_size)
        rng = generator(self.seed, "windows", self.epoch, window)
        return steps[torch.randperm(len(steps), generator=rng)].flatten()

    def _rows(self, chosen: Sequence[Int64[Tensor, "_rows"]]) -> tuple[Tensor, Tensor | None]:
        """Return rows and owners of one step from the rows chosen of each part."""
        raise NotImplementedError


class StudentBatches(EpochBatches):
    """Batches that hold rows of each student's own subset in every step, as in CGL.

    Yields row numbers and their owners, student 0's first. The last step of an epoch may be short; students
    whose subset is used up are then absent from it. No student is alone with one row, see `EpochBatches`.

    Args:
        subsets: row numbers of each student, see `subsets`.
        batch_size: rows of *each* student in a step.
        seed: of the order inside the subsets, redrawn every epoch.
        drop_last: whether to leave out a last step in which some student has fewer than `batch_size` rows.
        lengths: of all rows, see `EpochBatches`.

    Raises:
        ValueError: no subsets, an empty one, or a batch size below 1.
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
    """Batches of rows that all students see: yields row numbers, and None for the owners.

    Args:
        rows: how many rows there are.
        batch_size: rows in a step.
        seed: of the order, redrawn every epoch.
        shuffle: False keeps the rows in order, or in order of length, for evaluation.
        drop_last: whether to leave out a short last step.
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
        parts = [torch.arange(check_whole("rows", rows, least=0))]
        super().__init__(
            parts, batch_size=batch_size, seed=seed, shuffle=shuffle, drop_last=drop_last, lengths=lengths
        )

    def _rows(self, chosen: Sequence[Int64[Tensor, "_rows"]]) -> tuple[Tensor, Tensor | None]:
        return chosen[0], None


def _row_numbers(part: Tensor) -> Tensor:
    """Return a part as it is, if it is one of row numbers; truth values and fractions would select other rows."""
    wrong = not isinstance(part, Tensor) or part.ndim != 1 or part.dtype not in (torch.int64, torch.int32)
    if wrong or bool((part < 0).any()):
        raise ValueError(f"a part is {shown(part)}; give row numbers from 0 on, a tensor of torch.int64")
    return part


def training_batches(
    task: CollaborativeLearning,
    rows: int,
    *,
    batch_size: int,
    seed: int,
    drop_last: bool = False,
    lengths: Int32[Tensor, "rows"] | None = None,
) -> EpochBatches:
    """Return the batches that a task trains on: shared by all students, or of sub-sets drawn once.

    Args:
        task: its `rows` decide.
        rows: how many training rows there are.
        batch_size: rows of *each* student where students have sub-sets of their own, else rows of a step.
        seed: of the sub-sets and of the order.
        drop_last: whether to leave out a short last step.
        lengths: of all rows, see `EpochBatches`.

    Raises:
        ValueError: fewer rows than students with sub-sets of their own, or a batch size below 1.
    """
    order = derive(seed, "order")
    if not isinstance(task.rows, Subsets):
        return SharedBatches(rows, batch_size=batch_size, seed=order, drop_last=drop_last, lengths=lengths)
    draw, students = derive(seed, "subsets"), task.group.students
    own = subsets(rows, students, overlap=task.rows.overlap, seed=draw)
    return StudentBatches(own, batch_size=batch_size, seed=order, drop_last=drop_last, lengths=lengths)
