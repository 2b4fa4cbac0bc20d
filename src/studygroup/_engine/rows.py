"""The rows in flight: which sample each row of the batch is, and which students it stands for.

All of it is bookkeeping in small CPU tables. Rows stand in one canonical order, by lowest student and then by
sample, so that equal row counts mean equal rows: a residual or a mask made before a split fits after it, or fails by
its shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from studygroup._engine.selection import Selection, to_device

_kept = torch.inference_mode(False)
"""For tables that later passes use again: a tensor made in inference mode would have no gradient mode then."""


@dataclass(frozen=True, eq=False)
class Rows:
    """A table with one line for each row in flight.

    Attributes:
        students: which students the row stands for.
        sample: which row of the caller's batch it is.
        entry: the row's position among the rows that entered the network.
        place: where in a pass the table stands, by routes alone; the same in all passes.
        apart: number of each student's sub-group, as students may have parted so far; empty where none has.
    """

    students: Bool[Tensor, "rows students"]
    sample: Int[Tensor, " rows"]
    entry: Int[Tensor, " rows"]
    place: str = ""
    apart: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.sample)

    def __getitem__(self, index: Tensor) -> "Rows":
        return Rows(self.students[index], self.sample[index], self.entry[index], self.place, self.apart)

    def canonical(self) -> Tensor:
        """Return the order of these rows by lowest student, then by sample."""
        lowest = self.students.to(torch.uint8).argmax(1)  # argmax names the first of equal values
        samples = int(self.sample.max()) + 1 if len(self) else 1
        return torch.argsort(lowest * samples + self.sample)


@dataclass(frozen=True, eq=False)
class Split:
    """The split of the rows at one routed layer.

    Attributes:
        modules: the modules that have rows, ascending.
        parts: the rows of each of them.
        idle: the modules without rows.
        rows: the rows after the layer.
        entries: number of rows that entered the network.
        sources: row numbers before the layer, for each module with rows.
        take: selects, from the tensor before the layer, one tensor per module.
        restore: assembles, from the modules' outputs, the tensor after the layer.
    """

    modules: tuple[int, ...]
    parts: tuple[Rows, ...]
    idle: tuple[int, ...]
    rows: Rows
    entries: int
    sources: tuple[Tensor, ...]
    take: Selection
    restore: Selection
    _branches: dict[torch.device, Tensor] = field(default_factory=dict)

    @cached_property
    def take_entry(self) -> Selection:
        """Like `take`, from a tensor whose rows stand as they entered the network."""
        return Selection([part.entry for part in self.parts], [self.entries])

    @_kept
    def branches_on(self, device: torch.device) -> Int[Tensor, " rows"]:
        """Return into how many rows each row before the layer parts, on the device of the rows."""
        if device not in self._branches:
            self._branches[device] = to_device(torch.bincount(torch.cat(self.sources)), device)
        return self._branches[device]


@dataclass(frozen=True, eq=False)
class RowWeights:
    """The weights of the rows in flight, on a device.

    Attributes:
        sample: which row of the caller's batch each is.
        lowest: the lowest student that each stands for.
        share: one over the number of rows that this student sees, so that a row which stands for several students
            counts once and the weights of one student's rows sum to 1.
        mean: each student's weight in the mean over those that the row stands for.
    """

    sample: Int[Tensor, " rows"]
    lowest: Int[Tensor, " rows"]
    share: Float[Tensor, " rows"]
    mean: Float[Tensor, "rows students"]


def manner(sees: Bool[Tensor, "students samples"]) -> Literal["all", "one", "mixed"]:
    """Return in which manner rows are seen: all by all students, each by one owner at most, or otherwise."""
    if sees.all():
        return "all"
    return "one" if bool((sees.sum(0) <= 1).all()) else "mixed"


class BatchLayout:
    """Everything decided on the host about one pattern of which student sees which rows; cached and reused.

    Args:
        sees: which student sees which row of the batch, on the CPU.
        apart: number of each student's sub-group, where students part before they enter; omitted, all enter together.

    Attributes:
        entry: the rows as they enter the network: those that any student sees.
    """

    @_kept
    def __init__(self, sees: Bool[Tensor, "students samples"], *, apart: tuple[int, ...] = ()) -> None:
        sees = sees.clone()  # the caller may change the table
        self.sees = sees
        sample = sees.any(0).nonzero().flatten()
        rows = Rows(sees.T[sample], sample, sample)
        rows = rows[rows.canonical()]
        if apart:
            rows = _split(rows, apart, max(apart) + 1, entries=len(rows)).rows
        self.entry = replace(rows, entry=torch.arange(len(rows)), place="")
        self.device: torch.device | None = None  # of compiled passes
        self._moved = sees
        self.enter = Selection([self.entry.sample], [sees.shape[1]])
        self._rows = {self.entry.place: self.entry}
        self._splits: dict[tuple[tuple[int, ...], int, str, bool], Split] = {}
        self._scatters: dict[tuple[str, ...], _Scatter] = {}
        self._shared: dict[str, _Scatter] = {}
        self._row_weights: dict[tuple[str, torch.device, torch.dtype], RowWeights] = {}

    @property
    def sees_there(self) -> Bool[Tensor, "students samples"]:
        """The table, in a compiled pass on the device of the rows."""
        return self._moved if torch.compiler.is_compiling() else self.sees

    @cached_property
    def manner(self) -> Literal["all", "one", "mixed"]:
        """In which manner rows are seen."""
        return manner(self.sees)

    @_kept
    def split(self, rows: Rows, choice: tuple[int, ...], modules: int, *, every: bool = False) -> Split:
        """Split rows at a layer where student k takes module `choice[k]` of `modules`.

        Args:
            rows: the rows that come in.
            choice: the module of each student.
            modules: number of modules.
            every: whether modules without rows are called, too, on none.
        """
        key = (choice, modules, rows.place, every)
        if key not in self._splits:
            made = _split(rows, choice, modules, entries=len(self.entry), every=every)
            self._splits[key] = made
            self._rows |= {each.place: each for each in (*made.parts, made.rows)}
        return self._splits[key]

    @_kept
    def row_weights(self, rows: Rows, device: torch.device, dtype: torch.dtype = torch.float32) -> RowWeights:
        """Return the weights of the rows in flight, on the device of the tensors; cached."""
        key = (rows.place, device, dtype)
        if key not in self._row_weights:
            students = rows.students.to(dtype)
            lowest = rows.students.to(torch.uint8).argmax(1)
            seen = self.sees.sum(1)[lowest]
            tables = (rows.sample, lowest, 1 / seen.to(dtype), students / students.sum(1, keepdim=True))
            self._row_weights[key] = RowWeights(*(to_device(table, device) for table in tables))
        return self._row_weights[key]

    def scatter(self, pieces: Sequence[tuple[Rows, Tensor]]) -> Tensor:
        """Lay rows out as (students, samples, ...); zero where a student did not see the sample."""
        key = tuple([rows.place for rows, _ in pieces])
        if key not in self._scatters:
            self._scatters[key] = _Scatter([rows for rows, _ in pieces], self.sees)
        return self._scatters[key]([tensor for _, tensor in pieces])

    def scatter_shared(self, piece: tuple[Rows, Tensor]) -> Tensor:
        """Lay rows that nobody has parted from out as (samples, ...); zero where nobody saw the sample."""
        rows, tensor = piece
        return self._shared_by(rows)([tensor])[0]

    def _shared_by(self, rows: Rows) -> "_Scatter":
        if rows.place not in self._shared:
            together = Rows(torch.ones(len(rows), 1, dtype=torch.bool), rows.sample, rows.entry)
            self._shared[rows.place] = _Scatter([together], self.sees.any(0, keepdim=True))
        return self._shared[rows.place]

    @_kept
    def prepare(self, like: "BatchLayout", device: torch.device) -> bool:
        """Make the tables that a pass has asked another layout for, and move them to a device at once.

        Compiled code then asks for nothing that is not there, and takes rows by these indices: they change from
        batch to batch, and its own form does not.

        Args:
            like: the layout of an earlier pass of the same sort, which may be this one.
            device: of the tensors.

        Returns:
            Whether all could be made: not where a module has no rows here.
        """
        for key, known in list(like._splits.items()):
            choice, modules, place, every = key
            if place not in self._rows:
                return False
            made = self.split(self._rows[place], choice, modules, every=every)
            if known._branches:
                made.branches_on(device)
        for places in list(like._scatters):
            if not all(place in self._rows for place in places):
                return False
            if places not in self._scatters:
                self._scatters[places] = _Scatter([self._rows[place] for place in places], self.sees)
        for place in list(like._shared):
            self._shared_by(self._rows[place])
        self.device, self._moved = device, to_device(self.sees, device)
        if self.manner == "all":
            return True  # the same in every step: slices are cheaper
        scatters = [*self._scatters.values(), *self._shared.values()]
        selections = [self.enter, *(scatter.select for scatter in scatters)]
        for key, split in self._splits.items():
            selections += [split.take, split.restore]
            if key in like._splits and "take_entry" in vars(like._splits[key]):
                selections.append(split.take_entry)
        wanted = [index for selection in selections for index in selection.wanted]
        moved = iter(torch.split(to_device(torch.cat(wanted), device), [len(index) for index in wanted]))
        for selection in selections:
            selection.gather_by([next(moved) for _ in selection.wanted])
        if self.manner == "mixed":  # who consults whom makes another number of rows in every step
            varying = [index for selection in selections for index in selection.gathers or ()]
            for table in (*varying, *(rows.sample for rows in self._rows.values())):
                torch._dynamo.maybe_mark_dynamic(table, 0)
        return True


class _Scatter:
    """Lay out rows in flight as (students, samples, ...)."""

    @_kept
    def __init__(self, rows: Sequence[Rows], sees: Bool[Tensor, "students samples"]) -> None:
        together = _end_to_end(rows)
        self.shape = sees.shape
        self.nobody = len(together)
        place = torch.full(sees.shape, self.nobody)
        row, student = together.students.nonzero().unbind(1)
        place[student, together.sample[row]] = row
        self.missing = bool((place == self.nobody).any())
        # the place of a missing row may be its number by chance, where it is the last
        self.shared = not self.missing and bool((place == torch.arange(sees.shape[1])).all())
        self.select = Selection([place.flatten()], [self.nobody + 1] if self.missing else [self.nobody])

    def __call__(self, tensors: Sequence[Tensor]) -> Tensor:
        whole = tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
        if self.shared:
            return whole.expand(*self.shape, *whole.shape[1:])
        if self.missing:
            whole = torch.cat([whole, whole.new_zeros(1, *whole.shape[1:])])
        return self.select([whole])[0].view(*self.shape, *whole.shape[1:])


def _split(rows: Rows, choice: tuple[int, ...], modules: int, *, entries: int, every: bool = False) -> Split:
    takes = torch.tensor(choice)
    found = [rows.students & (takes == module) for module in range(modules)]
    sources = [students.any(1).nonzero().flatten() for students in found]
    busy = [module for module, source in enumerate(sources) if every or len(source)]
    sources = [sources[module] for module in busy]
    ends = torch.cat(sources)
    if len(ends) == len(rows):  # no student parts: the same rows, only grouped by module
        parts = [rows[source] for source in sources]
        after, order = rows, ends.argsort()
    else:
        parts, sources = _part(rows, [found[module] for module in busy], sources)
        together = _end_to_end(parts)
        order = together.canonical()
        after = together[order]
    apart = _parting(rows.apart or (0,) * len(choice), choice)
    if after is not rows or apart != rows.apart:
        if after is rows:  # none has parted here by chance: compiled code tells tables apart by their tensors
            after = rows[torch.arange(len(rows))]
        after = replace(after, place=f"{rows.place.rpartition('|')[0]}|{apart}", apart=apart)
    parts = [
        replace(part, place=f"{rows.place}>{choice}:{module}|", apart=apart)
        for module, part in zip(busy, parts, strict=True)
    ]
    return Split(
        modules=tuple(busy),
        parts=tuple(parts),
        idle=tuple(module for module in range(modules) if module not in busy),
        rows=after,
        entries=entries,
        sources=tuple(sources),
        take=Selection(sources, [len(rows)]),
        restore=Selection([order], [len(part) for part in parts]),
    )


def _parting(apart: tuple[int, ...], choice: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sub-groups in which students may stand after a layer, numbered as they first appear."""
    numbers: dict[tuple[int, int], int] = {}
    return tuple([numbers.setdefault(pair, len(numbers)) for pair in zip(apart, choice, strict=True)])


def _part(rows: Rows, found: Sequence[Tensor], sources: Sequence[Tensor]) -> tuple[list[Rows], list[Tensor]]:
    """Return the rows of each module in their own canonical order, and where they come from."""
    parts, ordered = [], []
    for students, source in zip(found, sources, strict=True):
        part = Rows(students[source], rows.sample[source], rows.entry[source])
        order = part.canonical()
        parts.append(part[order])
        ordered.append(source[order])
    return parts, ordered


def _end_to_end(parts: Sequence[Rows]) -> Rows:
    return Rows(
        torch.cat([part.students for part in parts]),
        torch.cat([part.sample for part in parts]),
        torch.cat([part.entry for part in parts]),
    )
