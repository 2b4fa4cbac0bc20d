"""Students of different architectures, with the answers of a study group."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from studygroup._engine.capture import Capture
from studygroup._engine.equal_starts import classes, kinds
from studygroup._engine.routed import OneRowError, joined_by_zero
from studygroup._engine.surgery import Init
from studygroup._engine.versions import SameInput
from studygroup.checks import check_kind
from studygroup.group import Group, StudyGroup
from studygroup.inputs import Inputs, Table, first_tensor, sees_table
from studygroup.layers import last_group
from studygroup.outputs import Outputs
from studygroup.routes import Layer, branches, independent

_NOTHING = Capture()


class Peers(Group):
    """Several networks as the students of one group: any architectures with the same classes.

    Each network is called once on the rows that its student sees. Students share nothing but the input.

    Args:
        networks: one for each student; they are copied.
        heads: name of each network's classifier, whose input is `Outputs.features`. Omitted, the last
            `nn.Linear` that a network calls.
        rows: names of inputs that carry rows, see `StudyGroup`.
        shared: names of inputs that all networks get as they are.

    Attributes:
        routes: a route table of students that share no layer.

    Raises:
        ValueError: no network, or another number of heads than of networks.

    Example:
        >>> group = Peers([resnet, mobilenet])
        >>> group(images).logits.shape
        torch.Size([2, 64, 10])
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        *,
        heads: Sequence[str] = (),
        rows: Sequence[str] = (),
        shared: Sequence[str] = (),
    ) -> None:
        super().__init__()
        wanted = "a list of networks, one for each student"
        for network in check_kind("networks", networks, Sequence, wanted):
            check_kind("one of the networks", network, nn.Module, wanted)
        if not networks or len(heads) not in (0, len(networks)):
            raise ValueError(
                f"{len(networks)} networks and {len(heads)} heads; give at least one network, and one head for "
                "each or none"
            )
        names: Sequence[str | None] = heads or [None] * len(networks)
        self.routes = independent(students=len(networks))
        self.model = nn.ModuleList(
            StudyGroup(network, independent(students=1), head=head)
            for network, head in zip(networks, names, strict=True)
        )
        self.declare_inputs(rows=rows, shared=shared)

    def forward(self, inputs: Inputs, *, sees: Table = None, capture: Capture = _NOTHING) -> Outputs:
        """Return the answers of every student, see `StudyGroup.forward`.

        Args:
            inputs: what every network takes.
            sees: which student sees which row; a CPU table. Omitted, all see all.
            capture: the trunk is the input itself; activations are of layers that all networks have. Nothing is
                captured in flight: objectives that train single layers are for one architecture.

        Raises:
            ValueError: a table of another shape or in which no student sees anything, answers, features or
                activations that differ in shape from network to network, or a network that changes the input in
                place for those after it.
        """
        if capture.in_flight:
            raise ValueError(
                f"layer {capture.in_flight[0].name!r} is to be captured in networks of different "
                "architectures; objectives that train single layers need a StudyGroup"
            )
        rows = self.count_rows(inputs)
        table = sees_table(sees, students=self.students, rows=rows)
        inner = replace(capture, trunk=False)
        found, same = {}, SameInput(inputs)
        for student, group in enumerate(self._groups()):
            if sees is None or table[student].any():
                same.check()
                own = None if sees is None else table[student : student + 1]
                found[student] = _answer(student, group, inputs, sees=own, capture=inner)
        idle = [p for k, net in enumerate(self._groups()) if k not in found for p in net.parameters()]
        logits = _stack({k: out.logits for k, out in found.items()}, self.students, "logits")
        features = {k: out.features for k, out in found.items() if out.features is not None}
        activations = {
            name: {k: out.activations[name] for k, out in found.items()} for name in capture.activations
        }
        return Outputs(
            logits=joined_by_zero(logits, idle),
            sees=table,
            features=_stack(features, self.students, "features") if features else None,
            trunk=first_tensor(inputs) if capture.trunk else None,
            activations={name: _stack(p, self.students, name) for name, p in activations.items()},
        )

    def copies(self, name: str) -> list[nn.Module]:
        """Return the modules of one name in all networks.

        Raises:
            ValueError: a network has no layer of that name.
        """
        return [module for group in self._groups() for module in group.copies(name)]

    def parameters_of(self, student: int) -> Iterator[nn.Parameter]:
        """Yield the parameters of one student's network.

        Raises:
            ValueError: there is no such student.
        """
        self._check_student(student)
        return self._groups()[student].parameters()

    def export(self, student: int) -> nn.Module:
        """Return a deep copy of one student's network, of the user's own class.

        Raises:
            ValueError: there is no such student.
        """
        self._check_student(student)
        return self._groups()[student].export(0)

    def equal_students(self) -> tuple[tuple[int, ...], ...]:
        """Return the students whose networks have equal weights now, two at least each."""
        return classes(kinds([group.model for group in self._groups()]))

    def _groups(self) -> list[StudyGroup]:
        return [group for group in self.model.children() if isinstance(group, StudyGroup)]


def separate(model: nn.Module, *, students: int, init: Init) -> Group:
    """Return students that share no layer: a group as it is, or `students` networks of one architecture."""
    return model if isinstance(model, Group) else StudyGroup(model, independent(students=students), init=init)


def branched(
    model: nn.Module,
    layers: Iterable[Layer] | None,
    *,
    students: int,
    init: Init,
    leader: int | None = None,
    rescale_gradients: bool = False,
) -> StudyGroup:
    """Return branches of one network.

    Args:
        model: the network.
        layers: names of the layers of a branch; `None` for those that `layers.last_group` finds.
        students: number of branches.
        init: how the second and further branches start, see `StudyGroup`.
        leader: the student that leads the group, if one does.
        rescale_gradients: whether gradients are divided by the number of branches where students part.
    """
    named = last_group(model) if layers is None else layers
    table = branches(named, students=students, leader=leader)
    return StudyGroup(model, table, init=init, rescale_gradients=rescale_gradients)


def _answer(
    student: int, group: StudyGroup, inputs: Inputs, *, sees: Bool[Tensor, "1 rows"] | None, capture: Capture
) -> Outputs:
    """Return the answers of one student, which alone is in its group."""
    try:
        own: Outputs = group(inputs, sees=sees, capture=capture)
    except OneRowError as error:
        raise OneRowError([student]) from error
    return own


def _stack(parts: dict[int, Tensor], students: int, name: str) -> Tensor:
    """Stack the students' tensors; zero for those that saw nothing."""
    first = next(iter(parts.values()))
    wrong = [(k, part) for k, part in parts.items() if part.shape != first.shape]
    if wrong:
        student, part = wrong[0]
        raise ValueError(
            f"{name} of student {student} have shape {tuple(part.shape[1:])} and those of student "
            f"{next(iter(parts))} {tuple(first.shape[1:])}; use a rule that needs logits alone, or networks of "
            "equal widths"
        )
    nothing = torch.zeros_like(first)
    return torch.cat([parts.get(student, nothing) for student in range(students)])
