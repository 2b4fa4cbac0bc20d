"""The plan of a step: all that Python decides on the host before anything is computed."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from studygroup._engine.capture import Capture
from studygroup._engine.routed import a_current_state
from studygroup._engine.selection import to_device
from studygroup._engine.uncompiled import each_length_by_itself
from studygroup.group import Seen, StudyGroup
from studygroup.inputs import Inputs
from studygroup.teachers import Teacher

if TYPE_CHECKING:
    from studygroup.task import CollaborativeLearning


@dataclass(eq=False)
class Plan:
    """The plan of a step.

    Attributes:
        progress: how far training has come.
        weights: weight of every objective by name; tensors on the device where the step is compiled.
        consults: who consults whom, by teacher.
        owns: which student is supervised on which row; `None` where all are on all.
        asked: which student is consulted on which row.
        moves: whether those who are consulted get a gradient.
        joint: whether owners and those whom they consult answer in one pass.
        sees: what the students see in that pass, or owners in theirs.
        compiled: whether the step is computed by compiled code: its tables are then on the device.
    """

    progress: float
    weights: Mapping[str, float | Tensor]
    consults: Mapping[Teacher, Tensor]
    owns: Tensor | None
    asked: Tensor | None
    moves: bool
    joint: bool
    sees: Seen = None
    compiled: bool = False
    _around: ExitStack = field(default_factory=ExitStack)

    def prepare(self, task: "CollaborativeLearning", x: Inputs, device: torch.device) -> None:
        """Bring everything into the form in which compiled code takes it, if the step can be compiled.

        It cannot where nothing of its sort has run yet, where a student has no rows, with a second pass, or with an
        objective that looks into the network.

        Args:
            task: whose step it is.
            x: the batch.
            device: where the step is computed.
        """
        looks = [one.capture for one in (*task._objectives(), *task._teachers())]
        if any(capture != Capture(trunk=capture.trunk) for capture in looks) or not self._laid_out(task, x, device):
            return
        names, numbers = list(self.weights), list(self.weights.values())
        precise = torch.float32 if device.type == "mps" else torch.float64
        moved = to_device(torch.tensor(numbers, dtype=precise), device)
        self.weights = dict(zip(names, moved.unbind(), strict=True))
        self.consults = {teacher: to_device(table, device) for teacher, table in self.consults.items()}
        self.owns = None if self.owns is None else to_device(self.owns, device)
        self.asked = None if self.asked is None else to_device(self.asked, device)
        self.compiled = True
        self._around.enter_context(a_current_state())
        self._around.enter_context(each_length_by_itself())

    def ended(self) -> None:
        """Leave what the step was computed in."""
        self._around.close()

    def _laid_out(self, task: "CollaborativeLearning", x: Inputs, device: torch.device) -> bool:
        """Lay out the rows of all passes; tell whether that could be done."""
        if self.owns is None:
            groups = [group for group in task.modules() if isinstance(group, StudyGroup)]
            return all(group.prepared(x, None, device) is not None for group in groups)
        present = self.owns if self.asked is None or not self.moves else self.owns | self.asked
        one_pass = isinstance(task.group, StudyGroup) and not len(task.sources) and (self.asked is None or self.joint)
        if not one_pass or not present.any(1).all() or isinstance(self.sees, type(None)):
            return False
        assert isinstance(task.group, StudyGroup) and isinstance(self.sees, Tensor)
        layout = task.group.prepared(x, self.sees, device)
        self.sees = self.sees if layout is None else layout
        return layout is not None
