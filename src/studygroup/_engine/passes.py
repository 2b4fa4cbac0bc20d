"""Passes of a group and of each student alone, on a few rows: they draw nothing and leave nothing behind."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from studygroup._engine.alone import Reading, as_student, storage_of
from studygroup._engine.attributes import Attributes
from studygroup._engine.capture import user_modules
from studygroup._engine.forward import call
from studygroup._engine.parting import stopped
from studygroup._engine.routed import ForwardState, RoutedLayer
from studygroup._engine.row_inputs import Batch
from studygroup._engine.rows import BatchLayout
from studygroup._engine.undrawn import undrawn
from studygroup._engine.watch import Call, ToldApart, Watch
from studygroup.inputs import answer, first_tensor, logits_of

_OF_INPUT = (RuntimeError, TypeError, ValueError, IndexError)


class InputError(ValueError):
    """The network itself cannot take its input; the network's own error is the cause."""


@dataclass(frozen=True, eq=False)
class Together:
    """A pass of the group.

    Attributes:
        state: the pass, ended.
        logits: of all students; zero where a student did not see the row.
        calls: the calls of all modules.
        read: how often the memory of each parameter was read.
    """

    state: ForwardState
    logits: Float[Tensor, "students rows *classes"]
    calls: Sequence[Call]
    read: Mapping[int, int]


@dataclass(frozen=True, eq=False)
class Alone:
    """A pass of one student.

    Attributes:
        logits: `None` where its network returns none.
        calls: the calls of all modules.
        reading: what it read.
    """

    logits: Tensor | None
    calls: Sequence[Call]
    reading: Reading


@dataclass(eq=False)
class Passes:
    """What makes passes of a group and its students comparable.

    Attributes:
        model: the network with its routed layers, watched.
        layers: these layers.
        watch: the watch over its modules.
        told: what makes the modules of a bank differ.
        apart: number of each student's sub-group, where students part before they enter the network; changed by a
            pass in which the first routed layer takes the token ids themselves.
        attributes: what modules hold besides buffers; put back before each pass.
        put_back: puts buffers back.
        reads: whether the parameters that passes read are noted.
        training: whether the passes are those of training, batch norms aside.
    """

    model: nn.Module
    layers: Sequence[RoutedLayer]
    watch: Watch
    told: ToldApart
    apart: tuple[int, ...]
    attributes: Attributes
    put_back: Callable[[], None]
    reads: bool
    training: bool
    _entering: frozenset[int] = field(default=frozenset(), init=False)

    def together(self, batch: Batch, sees: Bool[Tensor, "students rows"], *, seed: int = 0) -> Together:
        """Run the group; the seed is that of what is drawn nevertheless.

        Raises:
            InputError: a student alone cannot take these rows either.
            ValueError: what the pass refuses, and rows that a student alone can take and the group cannot.
        """
        found = self._first_pass(batch, sees, seed) if not self.apart else None
        return self._together(batch, sees, seed) if found is None else found

    def _first_pass(self, batch: Batch, sees: Tensor, seed: int) -> Together | None:
        """Run the group as if its students entered together; `None` where they do not.

        Students part before they enter where the first routed layer takes the token ids themselves: nothing is
        computed before an embedding. What a model derives from its other inputs after it, such as masks, then has as
        many rows as its output.
        """
        with self._noting_ids() as noted:
            try:
                found = self._together(batch, sees, seed)
            except ValueError:
                if not noted:
                    raise
        if not noted:
            return found
        self.apart = noted[0]
        return None

    @contextmanager
    def _noting_ids(self) -> Iterator[list[tuple[int, ...]]]:
        """Note the sub-groups of the first routed layer that is reached, if it takes whole numbers that entered."""
        noted: list[tuple[int, ...]] = []
        reached: list[nn.Module] = []

        def look(layer: nn.Module, args: Any, kwargs: Any) -> None:
            first = first_tensor((args, kwargs))
            ids = first is not None and not first.is_floating_point() and id(first) in self._entering
            if not reached and isinstance(layer, RoutedLayer) and layer.has_state and ids:
                noted.append(tuple(layer.choice))
            reached.append(layer)

        hooks = [layer.register_forward_pre_hook(look, with_kwargs=True) for layer in self.layers]
        try:
            yield noted
        finally:
            for hook in hooks:
                hook.remove()

    def _together(self, batch: Batch, sees: Tensor, seed: int) -> Together:
        layout = BatchLayout(sees, apart=self.apart)
        inputs, entering, whole = batch.enter(layout)
        self._entering = frozenset(map(id, [inputs] if isinstance(inputs, Tensor) else inputs.values()))
        state = ForwardState(layout, rescale_gradients=False, entering=entering, whole=whole, trial=True)
        self.watch.clear(lambda: state.rows)
        try:
            with self._passing(seed) as reading:
                logits = call(self.model, inputs, state)
        except Exception as error:
            own = self.refusal(batch, 0)
            if isinstance(own, _OF_INPUT) and not isinstance(own, torch.OutOfMemoryError):
                raise refused(self.model, batch, own) from own
            if own is not None:
                raise own from None
            if isinstance(error, ValueError):
                raise
            raise stopped(state, error) from error
        return Together(state, layout.scatter([(state.rows, logits)]), self.watch.calls, reading.times)

    def alone(self, batch: Batch, student: int, *, seed: int = 0) -> Alone:
        """Run one student, see `together`."""
        self.watch.clear()
        with as_student(self.model, student) as network, self._passing(seed) as reading:
            logits = logits_of(answer(network, batch.inputs))
        return Alone(logits, self.watch.calls, reading)

    def refusal(self, batch: Batch, student: int) -> Exception | None:
        """Return the error with which a student alone refuses a batch; `None` where it takes it."""
        try:
            self.alone(batch, student)
        except Exception as error:  # whatever a network raises on rows that it cannot take
            return error
        return None

    def owned(self) -> dict[int, list[str]]:
        """Return the names of the parameters in each memory, as the user's model has them."""
        found: dict[int, list[str]] = {}
        for name, module in user_modules(self.model):
            for own, parameter in module.named_parameters(recurse=False):
                found.setdefault(storage_of(parameter), []).append(f"{name}.{own}".strip("."))
        return found

    @contextmanager
    def _passing(self, seed: int) -> Iterator[Reading]:
        """Make one pass inside, which draws nothing and knows nothing of those before; note what it reads."""
        self.put_back()
        self.attributes.put_back()
        self.attributes.seed(seed)
        reading = Reading(self.owned(), self.watch.inside)
        self.watch.aside = _disable_current_modes  # what the watch computes is neither drawn nor read
        try:
            with undrawn(seed), reading if self.reads else nullcontext():
                yield reading
        finally:
            self.watch.aside = nullcontext


def refused(model: nn.Module, batch: Batch, error: Exception) -> InputError:
    """Return an error that names the input beside what a network raises of it."""
    given = [(path, part) for path, part in batch.walk() if isinstance(part, Tensor)]
    said = ", ".join(
        f"{path or 'x'}: {_described(part, batch.carries.get(path, False))}" for path, part in given
    )
    first = next(model.parameters(), None)
    line = next(iter(str(error).splitlines()), "")
    return InputError(
        f"the network cannot take the input ({said}): {type(error).__name__}: {line}; "
        f"{_way_out(first, [part for _, part in given])}"
    )


def _described(tensor: Tensor, carries: bool) -> str:
    shape = ", ".join(["rows", *map(str, tensor.shape[1:])] if carries else map(str, tensor.shape))
    return f"{tensor.dtype} of shape ({shape}) on {tensor.device}"


def _way_out(first: Tensor | None, given: list[Tensor]) -> str:
    if first is not None and any(part.device != first.device for part in given):
        return f"its parameters are on {first.device}: hand in x.to({str(first.device)!r})"
    numbers = [part for part in given if part.is_floating_point() or part.is_complex()] or given
    if first is not None and any(part.dtype != first.dtype for part in numbers):
        return f"its parameters are {first.dtype}: hand in x.to({first.dtype}), or ids where it looks them up"
    return "hand in rows of the shape that it was built for"
