"""The plan of a step: all that Python decides on the host before anything is computed."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from studygroup._engine.capture import Capture
from studygroup._engine.ranks import several
from studygroup._engine.routed import a_current_state
from studygroup._engine.selection import to_device
from studygroup._engine.uncompiled import each_length_by_itself
from studygroup.checks import check_kind, check_share
from studygroup.group import Group, Seen, StudyGroup
from studygroup.inputs import Inputs
from studygroup.ownership import NoOwnerWarning, Subsets, owner_table
from studygroup.teachers import Teacher

if TYPE_CHECKING:
    from studygroup.task import CollaborativeLearning


@dataclass(eq=False)
class Plan:
    """The plan of a step.

    Attributes:
        progress: how far training has come.
        weights: weight of every objective by name; tensors of one dimension on the device where the step is compiled.
        consults: who consults whom, by teacher.
        own: what objectives need of the students besides logits.
        heard: what teachers need of them.
        owns: which student is supervised on which row; `None` where all are on all.
        asked: which student is consulted on which row.
        moves: whether those who are consulted get a gradient.
        joint: whether they answer in one pass with the owners.
        share: where several processes divide the step, what each student's rows here count.
        compiled: whether the step is computed by compiled code: its tables are then on the device.
        sees: what the students see in their one pass, or owners in theirs.
    """

    progress: float
    weights: Mapping[str, float | Tensor]
    consults: Mapping[Teacher, Bool[Tensor, "students teachers"]]
    own: Capture
    heard: Capture
    owns: Bool[Tensor, "students rows"] | None
    asked: Bool[Tensor, "teachers rows"] | None
    moves: bool
    joint: bool
    share: Float64[Tensor, " _"] | None
    compiled: bool = False
    _around: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        together = self.owns is not None and self.asked is not None and self.joint
        self.sees: Seen = self.owns | self.asked if together else self.owns  # type: ignore[operator]

    def prepare(self, task: "CollaborativeLearning", x: Inputs, device: torch.device) -> None:
        """Bring everything into the form in which compiled code takes it, if the step can be compiled.

        It cannot where nothing of its sort has run yet, where a student has no rows, with a second pass, with
        objectives that train single layers inside the backward pass, or with several processes.
        """
        if not self._laid_out(task, x, device):
            return
        precise = torch.float32 if device.type == "mps" else torch.float64
        moved = to_device(torch.tensor(list(self.weights.values()), dtype=precise), device)
        # of one dimension: torch takes single numbers for Python's, finds that none is needed, and traces all anew
        self.weights = dict(zip(self.weights, torch.split(moved, 1), strict=True))
        self.consults = {teacher: to_device(table, device) for teacher, table in self.consults.items()}
        self.owns = None if self.owns is None else to_device(self.owns, device)
        self.asked = None if self.asked is None else to_device(self.asked, device)
        self.compiled = True
        self._around.enter_context(a_current_state())
        self._around.enter_context(each_length_by_itself())
        for group in _groups(task.group):
            self._around.enter_context(group.listening(self.own | self.heard))

    def ended(self) -> None:
        """Leave what the step was computed in."""
        self._around.close()

    def _laid_out(self, task: "CollaborativeLearning", x: Inputs, device: torch.device) -> bool:
        """Lay out the rows of all passes; tell whether that could be done."""
        if (
            several()
            or self.share is not None
            or (self.own | self.heard).in_flight
            or any(teacher.of is not None and teacher.capture != Capture() for teacher in self.consults)
        ):
            return False
        if self.owns is None:
            return all(group.prepared(x, None, device) is not None for group in _groups(task))
        present = self.owns | self.asked if self.asked is not None and self.moves else self.owns
        one_pass = not len(task.sources) and (self.asked is None or self.joint)
        group, table = task.group, self.sees
        if not (
            one_pass and present.any(1).all() and isinstance(group, StudyGroup) and isinstance(table, Tensor)
        ):
            return False
        self.sees = group.prepared(x, table, device) or table
        return self.sees is not table


def planned(
    task: "CollaborativeLearning",
    x: Inputs,
    y: Tensor,
    owner: Tensor | Sequence[int] | None,
    progress: float,
    share: Float64[Tensor, " _"] | None,
    *,
    compiled: bool = False,
) -> Plan:
    """Check a step's arguments, see `CollaborativeLearning.forward`, and plan it, `compiled` where it can be."""
    rows = task.group.count_rows(x)
    check_kind("y", y, Tensor, "a tensor with one label a row, such as torch.as_tensor(y)")
    if not y.ndim or len(y) != rows:
        raise ValueError(f"labels of shape {tuple(y.shape)} for {rows} rows; hand in one a row")
    check_share("progress", progress, of="training done")
    if task.in_turn and task.training and owner is None:
        raise ValueError("in_turn=True updates one student after another; go through task.steps(x, y)")
    if owner is None and task.training and isinstance(task.rows, Subsets):
        warnings.warn(
            "students were to have sub-sets of their own, and no owner says which rows are whose: all are "
            "supervised on all rows; hand in owner, or build the task with rows shared (subsets=False)",
            NoOwnerWarning,
            stacklevel=4,
        )
    students = task.group.students
    owns = None if owner is None else owner_table(owner, rows=rows, students=students)
    if share is not None and share.shape != (students,):
        raise ValueError(
            f"share has shape {tuple(share.shape)}; hand in one number for each of {students} students, such as "
            "parallel.part(...).share"
        )
    consults = {teacher: teacher.consults(task.step) for teacher in task._teachers()}
    own = want(one.capture for one in task._objectives())
    plan = Plan(
        progress,
        task.weights(progress),
        consults,
        own,
        want(teacher.capture for teacher in consults if teacher.of is None),
        owns,
        asked_of(None, consults, owns),
        moves=any(one.moves_teachers and one.weight_at(progress) for one in task._objectives()),
        joint=task.peers == "joint" and own == Capture(),
        share=share,
    )
    if compiled:
        plan.prepare(task, x, y.device)
    return plan


def asked_of(
    of: Group | None, consults: Mapping[Teacher, Tensor], owns: Tensor | None
) -> Bool[Tensor, "teachers rows"] | None:
    """Return which students of a group are asked on which row; `None` where all are, or none is."""
    tables = [table for teacher, table in consults.items() if teacher.of is of]
    if owns is None or not tables:
        return None
    asked = (reduce(or_, tables).T.to(torch.uint8) @ owns.to(torch.uint8)).bool()
    return asked if asked.any() else None


def want(captures: Iterable[Capture]) -> Capture:
    """Return all that is captured by any of these."""
    return reduce(or_, captures, Capture())


def _groups(module: torch.nn.Module) -> list[StudyGroup]:
    return [group for group in module.modules() if isinstance(group, StudyGroup)]
