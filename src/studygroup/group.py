"""A study group: one network, several students, one forward pass."""

from abc import abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor, nn

from studygroup._engine.capture import (
    Capture,
    capturing,
    capturing_in_flight,
    modules_called,
)
from studygroup._engine.copying import check_can_copy, duplicate
from studygroup._engine.dry_run import dry_run
from studygroup._engine.equal_starts import classes, kinds
from studygroup._engine.forward import call
from studygroup._engine.left_behind import leave_behind
from studygroup._engine.parameter_groups import ParameterGroups
from studygroup._engine.products import sharing
from studygroup._engine.recomputed import Switches
from studygroup._engine.routed import ForwardState
from studygroup._engine.row_inputs import Batch, RowInputs
from studygroup._engine.rows import BatchLayout, manner
from studygroup._engine.shared_head import SharedHeadWarning as SharedHeadWarning
from studygroup._engine.shared_head import warn_of_shared_head
from studygroup._engine.surgery import Init as Init
from studygroup._engine.surgery import distinct, extract, install
from studygroup.checks import check_flag, check_kind, check_whole
from studygroup.inputs import Inputs, sees_table
from studygroup.outputs import Outputs
from studygroup.routes import Routes

_MOST_LAYOUTS = 32
_MOST_SIZES = 8  # of inputs that are otherwise of one sort
_NOTHING = Capture()


class Group(ParameterGroups):
    """The base of everything that answers for several students: `StudyGroup`, `Peers`, their moving averages.

    Attributes:
        routes: which module each student takes at each layer.
        model: the module that holds all parameters of the students.
    """

    routes: Routes
    model: nn.Module

    def __init__(self) -> None:
        super().__init__()
        self._row_inputs = RowInputs()

    @property
    def students(self) -> int:
        """Number of students in the group."""
        return self.routes.students

    @abstractmethod
    def forward(
        self,
        inputs: Inputs,
        *,
        sees: Bool[Tensor, "students rows"] | None = None,
        capture: Capture = _NOTHING,
    ) -> Outputs:
        """Return the answers of every student, see `StudyGroup.forward`."""

    @abstractmethod
    def copies(self, name: str) -> list[nn.Module]:
        """Return all modules that take the place of one layer of the user's model.

        Raises:
            ValueError: the model has no layer of that name.
        """

    @abstractmethod
    def parameters_of(self, student: int) -> Iterator[nn.Parameter]:
        """Yield the parameters that a student's answers depend on, shared ones included.

        Raises:
            ValueError: there is no such student.
        """

    @abstractmethod
    def export(self, student: int) -> nn.Module:
        """Return one student as a plain network of the user's own class.

        Raises:
            ValueError: there is no such student.
        """

    def equal_students(self) -> tuple[tuple[int, ...], ...]:
        """Return the students that have equal weights now and get equal gradients from equal rows, two at least each.

        Students without weights of their own, such as views of one network under dropout, are left out.
        """
        return ()

    def declare_inputs(self, *, rows: Sequence[str] = (), shared: Sequence[str] = ()) -> None:
        """Name inputs whose length does not tell whether they carry rows, for this group and those inside it.

        Args:
            rows: names of inputs that carry rows, see `StudyGroup`.
            shared: names of inputs that all students get as they are.

        Raises:
            ValueError: a name under both.
        """
        for group in self.modules():
            if isinstance(group, Group):
                group._row_inputs = RowInputs(rows, shared)

    def count_rows(self, inputs: Inputs) -> int:
        """Count the rows of a batch: of the first input declared to carry rows, else of the first tensor.

        Raises:
            ValueError: inputs that hold `labels`, or no tensor with rows along axis 0.
        """
        return self._row_inputs.count(inputs)

    def _check_student(self, student: int) -> None:
        if not 0 <= check_whole("student", student) < self.students:
            raise ValueError(f"no student {student}; the group has students 0 to {self.students - 1}")


class StudyGroup(Group):
    """Several students of one network, in one forward pass.

    The user's model is copied; its own `forward` runs unchanged. Each layer that the route table names becomes
    a bank of parallel modules, and each of them is called once per pass on all rows whose students take it.
    Batch normalisation therefore sees the same mixture of students in training and in evaluation.

    A dry run of a few rows, without gradient and without side effects, finds the head, checks that every routed
    layer is reached and compares the group's answers with those of each student alone, as it would be exported: at
    construction where an `example` is given, before the first pass, and whenever inputs of another sort come (other
    structure, dtypes or sizes, rows seen by all or by owners; up to 8 sizes of one structure). In training, where
    something in the network asks for its mode, it is made again with every module in its own but batch norms in
    evaluation. Nothing is drawn, and buffers, numbers and tensors that modules hold are put back. Statistics over
    the rows of a batch that are not batch normalisation's are warned of (`MixedRowsWarning`); draws that cannot be
    replaced are not compared.

    Args:
        model: any `nn.Module` that maps a batch (rows along axis 0) to logits of shape (rows, classes), or to an
            output object with `.logits`.
        routes: which module each student takes at each layer.
        init: how modules 1, 2, ... of a layer start. `"fresh"` re-initialises them with their own
            `reset_parameters()` and warns by name of every parameter that has none, or that the model draws at
            another scale (torchvision's ResNets do); a function that returns a new model is exact and preferred;
            `"copy"` keeps the first module's weights (pretrained networks).
        head: name of the classifier, whose input is `Outputs.features`. By default the last `nn.Linear` that
            the dry run calls.
        rescale_gradients: divide gradients by the number of branches where students part (CL-ILR).
        share_head: confirm that students that part before the classifier share it on purpose.
        example: a batch for the dry run, as the model takes it; two rows are enough.
        rows: names of inputs that carry rows, where their length does not tell: tensors, and lists and tuples as long
            as the batch. Dots lead into mappings, `"text.ids"`. Tensors that are not declared carry rows if they have
            as many as the batch.
        shared: names of inputs that all students get as they are, such as a table of classes.

    Raises:
        ValueError: a layer that the model does not have, tied weights that copies would untie, two names of
            one layer, a `forward` that was replaced by a function, lazy parameters that would be re-initialised.

    Example:
        >>> group = StudyGroup(model, sg.routes.branches(["layer4", "fc"], students=3))
        >>> group(images).logits.shape
        torch.Size([3, 64, 10])
    """

    def __init__(
        self,
        model: nn.Module,
        routes: Routes,
        *,
        init: Init = "fresh",
        head: str | None = None,
        rescale_gradients: bool = False,
        share_head: bool = False,
        example: Inputs | None = None,
        rows: Sequence[str] = (),
        shared: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._row_inputs = RowInputs(rows, shared)
        init = distinct(init, check_kind("model", model, nn.Module, "an nn.Module, built"))
        self.routes = check_kind("routes", routes, Routes, "a table of studygroup.routes")
        self.head = head
        self.rescale_gradients = check_flag("rescale_gradients", rescale_gradients)
        self.share_head = check_flag("share_head", share_head)
        check_can_copy(model)
        self.model, self._routed = install(duplicate(model), routes, init=init)
        leave_behind(model)
        self._switches = Switches(self.model)
        self._layouts: list[BatchLayout] = []  # the newest last
        self._copies: dict[str, list[nn.Module]] = {}
        self._apart: tuple[int, ...] | None = None  # until a dry run has told
        self._compared: dict[tuple[Hashable, ...], set[Hashable]] = {}
        if example is not None:
            batch = self._row_inputs.read(example)
            self._explore(batch, sees_table(None, students=self.students, rows=batch.rows))
            self._row_inputs.remember(batch)

    def forward(
        self,
        inputs: Inputs,
        *,
        sees: Bool[Tensor, "students rows"] | None = None,
        capture: Capture = _NOTHING,
    ) -> Outputs:
        """Return the answers of every student.

        Args:
            inputs: what the model takes: a tensor with rows along axis 0, or a mapping of keyword arguments
                (tensors with that many rows are routed, others pass as they are, see `rows` and `shared`).
            sees: which student sees which row; a CPU table. Omitted, all see all.
            capture: what to return besides logits.

        Raises:
            ValueError: inputs that hold `labels`, or of which it cannot be told whether they carry rows; a table of
                another shape or one in which no student sees anything, a routed layer that is never reached, a
                captured one that is never called, students that part inside a residual connection, an output without
                logits, answers that differ from those of the students alone.
        """
        batch = self._row_inputs.read(inputs)
        layout = self._layout(sees_table(sees, students=self.students, rows=batch.rows), batch)
        entering, ids, whole = batch.enter(layout)
        state = ForwardState(layout, rescale_gradients=self.rescale_gradients, entering=ids, whole=whole)
        heads = [self._named_head()] if capture.features else []
        watched = [
            copy for layer in capture.in_flight for name in layer.modules for copy in self.copies(name)
        ]
        with (
            capturing(self.model, capture.activations, state) as activations,
            capturing(self.model, heads, state, inputs=True) as features,
            capturing_in_flight(self.model, capture.in_flight, state) as in_flight,
            sharing(watched) as products,
        ):
            logits = call(self.model, entering, state)
        self._row_inputs.remember(batch)
        silent = [name for name in capture.activations if name not in activations]
        silent += [name for name in heads if name not in features]
        if silent:
            raise ValueError(
                f"layer {silent[0]!r} was not called, or gave no tensor, so there is nothing to capture of it; name "
                "one that the model calls"
            )
        return Outputs(
            logits=layout.scatter([(state.rows, logits)]),
            sees=layout.sees,
            features=layout.scatter(features[heads[0]]) if heads else None,
            trunk=layout.scatter_shared(state.trunk) if capture.trunk and state.trunk else None,
            activations={name: layout.scatter(pieces) for name, pieces in activations.items()},
            in_flight=in_flight,
            products=products,
            layout=layout,
        )

    def copies(self, name: str) -> list[nn.Module]:
        """Return all modules that take the place of one layer of the user's model.

        Raises:
            ValueError: the model has no layer of that name.
        """
        if name not in self._copies:
            self._copies[name] = modules_called(self.model, name)
        return self._copies[name]

    def parameters_of(self, student: int) -> Iterator[nn.Parameter]:
        """Yield the parameters that a student's answers depend on, see `Group.parameters_of`."""
        self._check_student(student)
        other = {
            id(parameter)
            for layer in self._routed.values()
            for module, parallel in enumerate(layer.bank)
            for parameter in parallel.parameters()
            if module != layer.choice[student]
        }
        return (parameter for parameter in self.parameters() if id(parameter) not in other)

    def equal_students(self) -> tuple[tuple[int, ...], ...]:
        """Return the students that have equal weights now and get equal gradients from equal rows, two at least each.

        A module that more students take gets a larger gradient, unless gradients are rescaled, so that it parts from
        its equals. Views of one network, which take the same weights and part at layers without any, are left out.
        """
        signatures: list[list[int]] = [[] for _ in range(self.students)]
        for layer in self._routed.values():
            if layer.has_state and len(layer.bank) > 1:
                kind = kinds(list(layer.bank))
                for student, module in enumerate(layer.choice):
                    taken = 0 if self.rescale_gradients else layer.choice.count(module)
                    signatures[student] += [kind[module], taken]
        equal = classes([tuple(signature) for signature in signatures]) if any(signatures) else ()
        return tuple(students for students in equal if not self._are_views(students))

    def _are_views(self, students: Sequence[int]) -> bool:
        """Tell whether students take the same weights and part at layers without any, such as dropout."""
        layers = self._routed.values()
        weights = {tuple(layer.choice[k] for layer in layers if layer.has_state) for k in students}
        paths = {tuple(layer.choice[k] for layer in layers) for k in students}
        return len(weights) == 1 < len(paths)

    def export(self, student: int) -> nn.Module:
        """Return one student as a plain network.

        Args:
            student: 0 to students - 1.

        Returns:
            A deep copy of the user's own class with that student's modules: the same state-dict keys in the
            same order, nothing of this library in it.

        Raises:
            ValueError: there is no such student.
        """
        self._check_student(student)
        return extract(self.model, student=student)

    def get_extra_state(self) -> Shaped[Tensor, " bytes"]:
        """Return the route table, for the state dict: the bytes of its JSON text."""
        return torch.tensor(list(self.routes.to_json().encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Shaped[Tensor, " bytes"]) -> None:
        """Check that the route table of a state is the group's own.

        Raises:
            ValueError: another table.
        """
        saved = Routes.from_json(bytes(state.long().tolist()).decode())  # a state may have been cast
        if saved != self.routes:
            raise ValueError(f"the state is that of other students: {self.routes.difference(saved)}")

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        state_dict.setdefault(f"{prefix}_extra_state", self.get_extra_state())  # before 0.2 it held no table
        super()._load_from_state_dict(state_dict, prefix, *args)

    def train(self, mode: bool = True) -> "StudyGroup":
        """Set the mode of all modules; what the model keeps in evaluation stays so in all copies.

        Args:
            mode: `True` for training.
        """
        super().train(mode)
        for layer in self._routed.values():
            layer.follow_first()
        return self

    def _layout(self, table: Tensor, batch: Batch) -> BatchLayout:
        """Return what is kept of a table, after a dry run if none has seen inputs of this sort."""
        if self._apart is None:
            self._explore(batch, table)
        known = (one for one in reversed(self._layouts) if one.sees.shape == table.shape)
        layout = next((one for one in known if torch.equal(one.sees, table)), None)
        if layout is None:
            layout = BatchLayout(table, apart=self._apart or ())
        else:
            self._layouts.remove(layout)
        self._layouts.append(layout)
        del self._layouts[:-_MOST_LAYOUTS]
        if not torch.compiler.is_compiling():
            sort = (batch.structure, layout.manner, self._switches.on, self.model.training)
            compared = self._compared.setdefault(sort, set())
            if batch.sizes not in compared and len(compared) < _MOST_SIZES:
                self._explore(batch, table)
        return layout

    def _named_head(self) -> str:
        if self.head is None:
            raise ValueError(
                "the model calls no nn.Linear, so its head is not known; StudyGroup(head=...) names it"
            )
        return self.head

    def _explore(self, batch: Batch, table: Tensor) -> None:
        training = self.model.training
        unread = {False, True} - {mode for (*_, mode), sizes in self._compared.items() if sizes}
        found = dry_run(self.model, self._routed, batch, sees=table, training=training, unread=unread)
        for mode in {False, training}:
            sort = (batch.structure, manner(table), self._switches.on, mode)
            self._compared.setdefault(sort, set()).add(batch.sizes)
        if self._apart is None:
            self._apart = found.apart
            self.head = self.head or found.head
            if self.head and not self.share_head:
                warn_of_shared_head(self.head, self._routed.values(), self.routes)
