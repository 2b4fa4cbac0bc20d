"""A study group: one network, several students, one forward pass."""

import copy
import re
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from studygroup.branching import Flight, flying
from studygroup.functional.products import Product, sharing
from studygroup.inputs import Inputs, answer, count_rows, logits_of, sees_table, select
from studygroup.parting import parting
from studygroup.routes import Routes
from studygroup.rows import Plan
from studygroup.surgery import Init, distinct, extract, install
from studygroup.taps import Layer, Pieces, modules_called, tapping, user_modules, watching
from studygroup.trace import traceless

_MOST_PLANS = 32


class SharedHeadWarning(UserWarning):
    """Students part before the classifier but share the classifier itself."""


@dataclass(frozen=True)
class Outputs:
    """What a group answers.

    Attributes:
        logits: zero where a student did not see the row.
        sees: which student saw which row, on the CPU.
        features: the input of the head, zero where a student did not see the row.
        trunk: the input of the first routed layer, which all students share; zero where nobody saw the row.
        taps: outputs of named layers (of their last call), zero where a student did not see the row.
        layers: outputs of layers as they stand in flight: rows and tensor of each module.
        products: the convolutions of these layers by weight, see `functional.products`.
        plan: what those rows stand for.
    """

    logits: Float[Tensor, "students rows classes"]
    sees: Bool[Tensor, "students rows"]
    features: Float[Tensor, "students rows *features"] | None = None
    trunk: Shaped[Tensor, "rows *trunk"] | None = None
    taps: Mapping[str, Shaped[Tensor, "students rows *_"]] = field(default_factory=dict)
    layers: Mapping[Layer, Pieces] = field(default_factory=dict)
    products: Mapping[Tensor, Sequence[Product]] = field(default_factory=dict)
    plan: Plan | None = None


class StudyGroup(nn.Module):
    """Several students of one network, in one forward pass.

    The user's model is copied; its own `forward` runs unchanged. Each layer that the route table names becomes
    a bank of parallel modules, and each of them is called once per pass on all rows whose students take it.
    Batch normalisation therefore sees the same mixture of students in training and in evaluation.

    The first pass is preceded by a dry run of two rows, without gradient and without trace, that finds the
    head and checks that every routed layer is reached.

    Args:
        model: any `nn.Module` that maps a batch (rows along axis 0) to logits of shape (rows, classes), or to
            an output object with `.logits`.
        routes: which module each student takes at each layer.
        init: how modules 1, 2, ... of a layer start. `"fresh"` redraws them with their own
            `reset_parameters()` and warns by name of every parameter that has none, or that the model draws at
            another scale (torchvision's ResNets do); a function that returns a new model is exact and preferred;
            `"copy"` keeps the first module's weights (pretrained networks).
        head: name of the classifier, whose input is `Outputs.features`. By default the last `nn.Linear` that
            the dry run calls.
        rescale_gradients: divide gradients by the number of branches where students part (CL-ILR).
        share_head: say that students who part before the classifier share it on purpose.

    Raises:
        ValueError: a layer that the model does not have, tied weights that copies would untie, two names of
            one layer.

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
    ) -> None:
        super().__init__()
        if isinstance(init, nn.Module) or not (callable(init) or init in ("fresh", "copy")):
            given = f"a {type(init).__name__}" if isinstance(init, nn.Module) else f"{init!r}"
            raise ValueError(f"init is {given}; use 'fresh', 'copy' or a function that returns a new model")
        self.routes = routes
        self.head = head
        self.rescale_gradients = rescale_gradients
        self.share_head = share_head
        self.model, self._routed = install(copy.deepcopy(model), routes, init=distinct(init, model))
        self._plans: OrderedDict[tuple[torch.Size, bytes], Plan] = OrderedDict()
        self._copies: dict[str, list[nn.Module]] = {}
        self._explored = False
        self._apart: tuple[int, ...] = ()

    @property
    def students(self) -> int:
        """How many students the group has."""
        return self.routes.students

    def forward(
        self,
        inputs: Inputs,
        *,
        sees: Bool[Tensor, "students rows"] | None = None,
        want: Sequence[str] = (),
        layers: Sequence[Layer] = (),
    ) -> Outputs:
        """Answers for every student.

        Args:
            inputs: what the model takes: a tensor with rows along axis 0, or a mapping of keyword arguments
                (tensors with that many rows are routed, others pass as they are).
            sees: which student sees which row; a CPU table. Omitted, all see all.
            want: `"features"`, `"trunk"` and names of layers of the user's model, to be had in the outputs.
            layers: layers whose outputs are to be had as they stand in flight.

        Raises:
            ValueError: inputs that hold `labels`, a table of another shape or one in which nobody sees
                anything, a routed layer that is never reached, a wanted one that is never called, students who
                part inside a residual connection, an output without logits.
        """
        rows = count_rows(inputs)
        if not self._explored:
            self._explore(inputs, rows)
        plan = self._plan(sees, rows)
        flight = Flight(plan, rescale_gradients=self.rescale_gradients)
        names = [name for name in want if name not in ("features", "trunk")]
        heads = [self._named_head()] if "features" in want else []
        watched_modules = [copy for layer in layers for name in layer.modules for copy in self.copies(name)]
        with (
            tapping(self.model, names, flight) as taps,
            tapping(self.model, heads, flight, inputs=True) as features,
            watching(self.model, layers, flight) as watched,
            sharing(watched_modules) as products,
        ):
            logits = self._call(select(inputs, rows, lambda tensor: plan.enter([tensor])[0]), flight)
        silent = [name for name in names if name not in taps] + [
            name for name in heads if name not in features
        ]
        if silent:
            raise ValueError(
                f"layer {silent[0]!r} was not called, or gave no tensor, so there is nothing to note of it; name one "
                "that the model calls"
            )
        return Outputs(
            logits=plan.leave([(flight.rows, logits)]),
            sees=plan.sees,
            features=plan.leave(features[heads[0]]) if heads else None,
            trunk=plan.leave_shared(flight.trunk) if "trunk" in want and flight.trunk else None,
            taps={name: plan.leave(pieces) for name, pieces in taps.items()},
            layers=watched,
            products=products,
            plan=plan,
        )

    def copies(self, name: str) -> list[nn.Module]:
        """All modules that stand in the place of one layer of the user's model.

        Raises:
            ValueError: the model has no layer of that name.
        """
        if name not in self._copies:
            self._copies[name] = modules_called(self.model, name)
        return self._copies[name]

    def parameters_of(self, student: int) -> Iterator[nn.Parameter]:
        """The parameters that a student's answers depend on, those he shares included."""
        other = {
            id(parameter)
            for layer in self._routed.values()
            for module, parallel in enumerate(layer.bank)
            for parameter in parallel.parameters()
            if module != layer.choice[student]
        }
        return (parameter for parameter in self.parameters() if id(parameter) not in other)

    def export(self, student: int) -> nn.Module:
        """One student as a plain network.

        Args:
            student: 0 to students - 1.

        Returns:
            A deep copy of the user's own class with that student's modules: the same state-dict keys in the
            same order, nothing of this library in it.

        Raises:
            ValueError: there is no such student.
        """
        if not 0 <= student < self.students:
            raise ValueError(f"no student {student}; the group has students 0 to {self.students - 1}")
        return extract(self.model, self._routed, student=student)

    def _plan(self, sees: Tensor | None, rows: int) -> Plan:
        table = sees_table(sees, students=self.students, rows=rows)
        key = (table.shape, table.numpy().tobytes())
        # a copy, as the caller may change his own
        plan = self._plans.pop(key, None) or Plan(table.clone(), apart=self._apart)
        self._plans[key] = plan
        if len(self._plans) > _MOST_PLANS:
            self._plans.popitem(last=False)
        return plan

    def _call(self, inputs: Inputs, flight: Flight) -> Tensor:
        try:
            with flying(flight):
                output = answer(self.model, inputs)
        except RuntimeError as error:
            counts = [count for count in set(flight.counts) if re.search(rf"\b{count}\b", str(error))]
            if len(counts) < 2 or "must match" not in str(error):
                raise
            raise ValueError(
                f"rows do not fit after {next(reversed(flight.reached))!r}: {error}. Students part inside a "
                "residual connection, or after a tensor that is used again; name the enclosing block instead"
            ) from error
        logits = logits_of(output)
        if logits is None or logits.ndim != 2 or len(logits) != len(flight.rows):
            found = type(output).__name__ if logits is None else tuple(logits.shape)
            raise ValueError(
                f"the model returned {found} for {len(flight.rows)} rows; it must return logits of shape "
                "(rows, classes), or an output that has such .logits"
            )
        return logits

    def _named_head(self) -> str:
        if self.head is None:
            raise ValueError("the model calls no nn.Linear, so its head is not known; name it with head=...")
        return self.head

    def _explore(self, inputs: Inputs, rows: int) -> None:
        """A dry run that finds the head and checks that every routed layer is reached."""
        few = select(inputs, rows, lambda tensor: tensor[:2])
        self._apart = parting(self.model, self._routed.values(), few)
        flight = Flight(self._plan(None, min(rows, 2)), rescale_gradients=False)
        linears = {name: None for name, module in user_modules(self.model) if isinstance(module, nn.Linear)}
        with (
            traceless(self.model, training=False),
            tapping(self.model, linears, flight, inputs=True) as called,
        ):
            self._call(select(few, min(rows, 2), lambda tensor: flight.plan.enter([tensor])[0]), flight)
        never = [name for name in self.routes.layers if name not in flight.reached]
        if never:
            raise ValueError(
                f"layer {never[0]!r} is routed but the model never calls it, so its students would not differ; "
                "leave it out, or name the block that holds it"
            )
        self.head = self.head or next(reversed(called), None)
        self._warn_of_shared_head()
        self._explored = True

    def _warn_of_shared_head(self) -> None:
        apart = any(layer.has_state and len(set(layer.choice)) > 1 for layer in self._routed.values())
        routed = any(not name or f"{self.head}.".startswith(f"{name}.") for name in self.routes.layers)
        if apart and self.head and not routed and not self.share_head:
            warnings.warn(
                f"students part before the classifier {self.head!r} but share it; route it too, or say "
                "share_head=True",
                SharedHeadWarning,
                stacklevel=4,
            )
