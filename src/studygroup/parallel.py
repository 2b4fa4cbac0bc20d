"""What one of several processes does of a step: some of its rows, or the rows of some of its students.

All processes draw the same steps, as draws depend on (seed, step) alone; each takes its part. Every student's modules
are on every process, those of consulted peers too, so that no row and no answer moves: gradients alone do, and their
mean over the processes, which `DistributedDataParallel` and FSDP form, is that of the whole step.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float64, Int, Int64
from torch import Tensor
from torch.utils.data import Sampler

from studygroup._engine.ranks import Place, place
from studygroup._engine.whole_norms import whole_norms as whole_norms
from studygroup.batching import Draw, DrawPart, EpochBatches
from studygroup.checks import check_choice, check_whole
from studygroup.inputs import on_host

Divide = Literal["rows", "students"]
"""What processes divide among themselves: the rows of every student, or the students with all their rows."""
_DIVIDE: tuple[Divide, ...] = ("rows", "students")
_FEWEST = 2  # rows of a student on one process: batch normalisation cannot work on one


@dataclass(frozen=True)
class Part:
    """The part of a step that one process does.

    Attributes:
        rows: which rows of the step, in ascending order.
        owner: their owners; None where all students see every row.
        share: by how much the mean loss of each student's rows counts here: processes x rows here / rows in all. The
            mean over processes of the losses so weighted is the loss of the whole step, however uneven the parts.
    """

    rows: Int64[Tensor, "part"]
    owner: Int64[Tensor, "part"] | None
    share: Float64[Tensor, "students"]


def part(
    rows: int,
    owner: Int[Tensor, " rows"] | Sequence[int] | None = None,
    *,
    students: int,
    divide: Divide = "rows",
    rank: int | None = None,
    ranks: int | None = None,
) -> Part:
    """Return the part of a step that a process does; hand `share` to the task with the rows.

    Dividing rows, each student's rows go to the processes in equal runs, none of one row alone where there are two.
    Dividing students, a process has all rows of some students, so that statistics over a student's own modules are
    those of one process. A process that no row is left for takes two of another's with a share of 0, as its peers
    wait for its gradients.

    Args:
        rows: number of rows in the step, the same on all processes.
        owner: the owner of each; omitted, all students see every row.
        students: number of students.
        divide: what is divided; students only where rows have owners.
        rank: number of the process; omitted, that of `torch.distributed`, or 0 without it.
        ranks: number of processes; likewise.

    Raises:
        ValueError: no rows, fewer students than processes to divide them among, or students without owners.

    Example:
        >>> mine = sg.parallel.part(len(x), owner, students=8, divide="students")
        >>> losses = model(x[mine.rows], y[mine.rows], owner=mine.owner, share=mine.share)  # model = DDP(task)
    """
    check_choice("divide", divide, _DIVIDE)
    here = _where(rank, ranks)
    students = check_whole("students", students, least=1)
    rows = check_whole("rows", rows, least=1)
    whose = torch.zeros(rows, dtype=torch.int64)
    if owner is not None:
        whose = on_host(torch.as_tensor(owner), "owner").long()
    if divide == "students" and (owner is None or students < here.ranks):
        raise ValueError(
            f"{students} students {'who share all rows ' * (owner is None)}cannot be divided among {here.ranks} "
            "processes so that each has one at least; divide rows"
        )
    known = students if owner is not None else 1
    dealt = _by_students(whose, known, here) if divide == "students" else _by_rows(whose, known, here)
    mine = dealt.nonzero().flatten()
    count = torch.bincount(whose[mine], minlength=known).double()
    share = here.ranks * count / torch.bincount(whose, minlength=known).clamp(min=1)
    if not len(mine):
        mine = torch.arange(min(rows, _FEWEST))
    return Part(mine, None if owner is None else whose[mine], share.expand(students).clone())


def _where(rank: int | None, ranks: int | None) -> Place:
    found = place()
    ranks = found.ranks if ranks is None else check_whole("ranks", ranks, least=1)
    rank = found.rank if rank is None else check_whole("rank", rank, least=0)
    if rank >= ranks:
        raise ValueError(f"rank is {rank} of {ranks} processes; give 0 to {ranks - 1}")
    return Place(rank, ranks)


def _by_rows(whose: Tensor, students: int, here: Place) -> Tensor:
    """Tell which rows are this process's, where every student's rows are dealt in equal runs."""
    mine = torch.zeros(len(whose), dtype=torch.bool)
    for student in range(students):
        own = (whose == student).nonzero().flatten()
        runs = own.tensor_split(min(here.ranks, max(1, len(own) // _FEWEST)))
        number = (here.rank - student) % here.ranks  # where runs are fewer, other students begin elsewhere
        if number < len(runs):
            mine[runs[number]] = True
    return mine


def _by_students(whose: Tensor, students: int, here: Place) -> Tensor:
    """Tell which rows are this process's, where it has all rows of some students."""
    own = torch.arange(students).tensor_split(here.ranks)[here.rank]
    return torch.isin(whose, own)


class PartBatches(Sampler[DrawPart]):
    """The parts of one process of a sampler's steps.

    Args:
        batches: the steps.
        students: number of students.
        divide: as for `part`; steps whose rows have no owner are divided by rows.
        here: which process; the same steps on all.
    """

    def __init__(self, batches: EpochBatches, *, students: int, divide: Divide, here: Place) -> None:
        self.batches, self.students, self.divide, self.here = batches, students, divide, here

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        """Return the number of steps in an epoch, the same on all processes."""
        return len(self.batches)

    def __iter__(self) -> Iterator[DrawPart]:
        """Yield this process's part of every step."""
        rank, ranks = self.here
        for rows, owner, epoch in self.batches:
            divide: Divide = "rows" if owner is None else self.divide
            mine = part(len(rows), owner, students=self.students, divide=divide, rank=rank, ranks=ranks)
            yield DrawPart(Draw(rows[mine.rows], mine.owner, epoch), mine.share)


class ScoredPart(Sampler[Draw]):
    """One process's part of rows that are scored, in as many steps as the others have.

    Args:
        batches: the rows in order, shared by all students.
        here: which process.

    Raises:
        ValueError: fewer rows than processes.
    """

    def __init__(self, batches: EpochBatches, *, here: Place) -> None:
        rows = torch.cat([draw.rows for draw in batches])
        if len(rows) < here.ranks:
            raise ValueError(
                f"{len(rows)} rows to score and {here.ranks} processes; hold out one row for each at least"
            )
        most = -(-len(rows) // here.ranks)  # of any process
        self._steps = rows[here.rank :: here.ranks].tensor_split(-(-most // batches.batch_size))

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: every epoch scores the same rows."""

    def __len__(self) -> int:
        """Return the number of steps, the same on all processes."""
        return len(self._steps)

    def __iter__(self) -> Iterator[Draw]:
        """Yield the steps."""
        for rows in self._steps:
            yield Draw(rows, None, 0)
