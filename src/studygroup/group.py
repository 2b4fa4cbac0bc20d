"""A study group: one network, several students, one forward pass."""

import warnings
from abc import abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from studygroup._engine.capture import Capture, capturing_in_flight, heard, listening, modules_called
from studygroup._engine.copying import check_can_copy, duplicate
from studygroup._engine.dry_run import dry_run
from studygroup._engine.equal_starts import equally_placed, leave_behind
from studygroup._engine.forward import call, holds_compiled_code
from studygroup._engine.layouts import Layouts
from studygroup._engine.layouts import Seen as Seen
from studygroup._engine.parameter_groups import ParameterGroups
from studygroup._engine.products import sharing
from studygroup._engine.recomputed import Switches
from studygroup._engine.routed import ForwardState
from studygroup._engine.row_inputs import Batch, RowInputs
from studygroup._engine.rows import BatchLayout, manner
from studygroup._engine.surgery import Init as Init
from studygroup._engine.surgery import distinct, extract, install
from studygroup.checks import check_flag, check_kind, check_whole
from studygroup.inputs import Inputs, Table, first_tensor, sees_table
from studygroup.outputs import Outputs
from studygroup.routes import Routes

_MOST_SIZES = 8  # of inputs that are otherwise of one sort
_NOTHING = Capture()


class SharedHeadWarning(UserWarning):
    """Students part before the classifier but share the classifier itself."""


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
    def forward(self, inputs: Inputs, *, sees: Table = None, capture: Capture = _NOTHING) -> Outputs:
        """Return the answers of every student, see `StudyGroup.forward`."""

    def start_step(self) -> None:
        """Prepare for the passes of a training step, of which this group's may not be the first."""

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
        self._layouts = Layouts()
        self._copies: dict[str, list[nn.Module]] = {}
        self._apart: tuple[int, ...] | None = None  # until a dry run has told
        self._compared: dict[tuple[Hashable, ...], set[Hashable]] = {}
        if example is not None:
            batch = self._row_inputs.read(example)
            self._explore(batch, sees_table(None, students=self.students, rows=batch.rows))
            self._row_inputs.remember(batch)

    def forward(self, inputs: Inputs, *, sees: Seen = None, capture: Capture = _NOTHING) -> Outputs:
        """Return the answers of every student.

        Args:
            inputs: what the model takes: a tensor with rows along axis 0, or a mapping of keyword arguments
                (tensors with that many rows are routed, others pass as they are, see `rows` and `shared`).
            sees: which student sees which row; a CPU table, or what `prepared` has made of one. Omitted, all see all.
            capture: what to return besides logits.

        Raises:
            ValueError: inputs that hold `labels`, or of which it cannot be told whether they carry rows; a table of
                another shape or in which no student sees anything, a routed layer never reached, a captured one never
                called, students that part inside a residual connection, an output without logits, answers that differ
                from those of the students alone.
        """
        batch = self._row_inputs.read(inputs)
        layout = self._layout(sees, batch)
        entering, ids, whole = batch.enter(layout)
        how = {"rescale_gradients": self.rescale_gradients, "listens": capture.by_hooks()}
        state = ForwardState(layout, **how, entering=ids, whole=whole)
        heads = self._heads(capture)
        watched = [one for layer in capture.in_flight for name in layer.modules for one in self.copies(name)]
        with (
            nullcontext() if torch.compiler.is_compiling() else self.listening(capture),
            capturing_in_flight(self.model, capture.in_flight, state) as in_flight,
            sharing(watched) as products,
        ):
            logits = call(self.model, entering, state)
        if not torch.compiler.is_compiling():
            self._row_inputs.remember(batch)
            self._layouts.passed(self._sort(batch), layout)
        activations = {name: heard(state, name) for name in capture.activations}
        features = {name: heard(state, name, inputs=True) for name in heads}
        silent = [name for name, pieces in (*activations.items(), *features.items()) if not pieces]
        if silent:
            raise ValueError(
                f"layer {silent[0]!r} was not called, or gave no tensor, so there is nothing to capture of it; name "
                "one that the model calls"
            )
        return Outputs(
            logits=layout.scatter([(state.rows, logits)]),
            sees=layout.sees_there,
            features=layout.scatter(features[heads[0]]) if heads else None,
            trunk=layout.scatter_shared(state.trunk) if capture.trunk and state.trunk else None,
            activations={name: layout.scatter(pieces) for name, pieces in activations.items()},
            in_flight=in_flight,
            products=products,
            layout=layout,
        )

    @contextmanager
    def listening(self, capture: Capture) -> Iterator[None]:
        """Let passes note activations and features; compiled ones cannot begin to, and are made inside of this."""
        heads = self._heads(capture)
        with listening(self.model, capture.activations), listening(self.model, heads, inputs=True):
            yield

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

        Views of one network, which take the same weights and part at layers without any, are left out.
        """
        layers = list(self._routed.values())
        return equally_placed(layers, students=self.students, rescaled=self.rescale_gradients)

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

    def prepared(self, inputs: Inputs, sees: Tensor | None, device: torch.device) -> BatchLayout | None:
        """Return what `forward` takes for `sees` in compiled code; `None` before a first pass of this sort."""
        batch = self._row_inputs.read(inputs)
        table = sees_table(sees, students=self.students, rows=batch.rows)
        return self._layouts.prepared(self._sort(batch), table, self._apart or (), device)

    def _sort(self, batch: Batch) -> Hashable:
        return batch.structure, batch.sizes, self._switches.on, self.model.training

    def _layout(self, sees: Seen, batch: Batch) -> BatchLayout:
        """Return where the rows go, after a dry run if none has seen inputs of this sort."""
        if isinstance(sees, BatchLayout):
            return sees
        together = self._layouts.together if sees is None and torch.compiler.is_compiling() else {}
        if batch.rows in together:
            return together[batch.rows]
        table = sees_table(sees, students=self.students, rows=batch.rows)
        if self._apart is None:
            self._explore(batch, table)
        layout = self._layouts.of(table, self._apart or ())
        if not torch.compiler.is_compiling():
            sort = (batch.structure, layout.manner, self._switches.on, self.model.training)
            compared = self._compared.setdefault(sort, set())
            if batch.sizes not in compared and len(compared) < _MOST_SIZES:
                self._explore(batch, table)
            if holds_compiled_code(self.model):
                first = first_tensor(batch.inputs)
                return layout if first is None else self.prepared(batch.inputs, table, first.device) or layout
        return layout

    def _heads(self, capture: Capture) -> list[str]:
        if not capture.features:
            return []
        if self.head is None:
            raise ValueError(
                "the model calls no nn.Linear, so its head is not known; StudyGroup(head=...) names it"
            )
        return [self.head]

    def _explore(self, batch: Batch, table: Tensor) -> None:
        training = self.model.training
        unread = {False, True} - {mode for (*_, mode), sizes in self._compared.items() if sizes}
        compiling = torch.compiler.is_compiling()
        run = torch.compiler.disable(dry_run) if compiling else dry_run  # type: ignore[no-untyped-call]
        found = run(self.model, self._routed, batch, sees=table, training=training, unread=unread)
        for mode in {False, training}:
            sort = (batch.structure, manner(table), self._switches.on, mode)
            self._compared.setdefault(sort, set()).add(batch.sizes)
        if self._apart is None:
            self._apart = found.apart
            self.head = self.head or found.head
            if self.head and not self.share_head:
                self._warn_of_shared_head(self.head)

    def _warn_of_shared_head(self, head: str) -> None:
        """Warn where students have modules of their own and not the classifier."""
        apart = any(layer.has_state and len(set(layer.choice)) > 1 for layer in self._routed.values())
        routed = any(not name or f"{head}.".startswith(f"{name}.") for name in self.routes.layers)
        if apart and not routed:
            warnings.warn(
                f"students part before the classifier {head!r} but share it; route it too, or say share_head=True",
                SharedHeadWarning,
                stacklevel=6,
            )
