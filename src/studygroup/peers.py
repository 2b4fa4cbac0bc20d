"""Students of different architectures, with the answers of a study group."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from studygroup.branching import first_tensor, joined_by_zero
from studygroup.group import Outputs, StudyGroup
from studygroup.inputs import Inputs, count_rows, sees_table
from studygroup.routes import Routes, independent
from studygroup.surgery import Init
from studygroup.taps import Layer


class Peers(nn.Module):
    """Several networks as the students of one group: any architectures with the same classes.

    Each network is called once on the rows that its student sees. Students share nothing but the input.

    Args:
        networks: one for each student; they are copied.
        heads: name of each network's classifier, whose input is `Outputs.features`. Omitted, the last
            `nn.Linear` that a network calls.

    Attributes:
        routes: a table of students who share no layer.

    Raises:
        ValueError: no network, or another number of heads than of networks.

    Example:
        >>> group = Peers([resnet, mobilenet])
        >>> group(images).logits.shape
        torch.Size([2, 64, 10])
    """

    def __init__(self, networks: Sequence[nn.Module], *, heads: Sequence[str] = ()) -> None:
        super().__init__()
        if not networks or len(heads) not in (0, len(networks)):
            raise ValueError(
                f"{len(networks)} networks and {len(heads)} heads; give at least one network, and one head for "
                "each or none"
            )
        names: Sequence[str | None] = heads or [None] * len(networks)
        self.routes: Routes = independent(students=len(networks))
        self.model = nn.ModuleList(
            StudyGroup(network, independent(students=1), head=head)
            for network, head in zip(networks, names, strict=True)
        )

    @property
    def students(self) -> int:
        """How many students the group has."""
        return len(self.model)

    def forward(
        self,
        inputs: Inputs,
        *,
        sees: Bool[Tensor, "students rows"] | None = None,
        want: Sequence[str] = (),
        layers: Sequence[Layer] = (),
    ) -> Outputs:
        """Answers for every student, see `StudyGroup.forward`.

        Args:
            inputs: what every network takes.
            sees: which student sees which row; a CPU table. Omitted, all see all.
            want: `"features"`, `"trunk"` (the input itself) and names of layers that all networks have.
            layers: none; objectives that train single layers are for one architecture.

        Raises:
            ValueError: a table of another shape or in which nobody sees anything, answers, features or taps
                that differ in shape from network to network.
        """
        if layers:
            raise ValueError(
                f"layer {layers[0].name!r} is to be watched in networks of different architectures; objectives that "
                "train single layers need a StudyGroup"
            )
        rows = count_rows(inputs)
        table = sees_table(sees, students=self.students, rows=rows)
        inner = [name for name in want if name != "trunk"]
        found = {
            student: group(inputs, sees=table[student : student + 1], want=inner)
            for student, group in enumerate(self.model)
            if table[student].any()
        }
        idle = [p for k, net in enumerate(self.model) if k not in found for p in net.parameters()]
        logits = _stack({k: out.logits for k, out in found.items()}, self.students, "logits")
        features = {k: out.features for k, out in found.items() if out.features is not None}
        taps = {name: {k: out.taps[name] for k, out in found.items()} for name in inner if name != "features"}
        return Outputs(
            logits=joined_by_zero(logits, idle),
            sees=table,
            features=_stack(features, self.students, "features") if features else None,
            trunk=first_tensor(inputs) if "trunk" in want else None,
            taps={name: _stack(parts, self.students, name) for name, parts in taps.items()},
        )

    def copies(self, name: str) -> list[nn.Module]:
        """The modules of one name in all networks.

        Raises:
            ValueError: a network has no layer of that name.
        """
        groups = [group for group in self.model if isinstance(group, StudyGroup)]
        return [module for group in groups for module in group.copies(name)]

    def parameters_of(self, student: int) -> Iterator[nn.Parameter]:
        """The parameters of one student's network."""
        return self.model[student].parameters()

    def export(self, student: int) -> nn.Module:
        """A deep copy of one student's network, of the user's own class.

        Raises:
            ValueError: there is no such student.
        """
        if not 0 <= student < self.students:
            raise ValueError(f"no student {student}; the group has students 0 to {self.students - 1}")
        group = self.model[student]
        assert isinstance(group, StudyGroup)
        return group.export(0)


def separate(model: nn.Module | Peers, *, students: int, init: Init) -> StudyGroup | Peers:
    """Students who share no layer: `Peers` as they are, or so many networks of one architecture.

    Args:
        model: one network, or `Peers`.
        students: how many networks are made of one; not asked of `Peers`.
        init: how the second and further networks start, see `StudyGroup`.
    """
    return model if isinstance(model, Peers) else StudyGroup(model, independent(students=students), init=init)


def _stack(parts: dict[int, Tensor], students: int, name: str) -> Tensor:
    """Students' tensors as one; zero for those who saw nothing."""
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
