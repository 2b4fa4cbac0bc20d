"""The comparison of a group with its students, each alone: what a group answers is what ships."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from studygroup._engine.alone import Reading, as_student, storage_of
from studygroup._engine.capture import user_modules
from studygroup._engine.routed import ForwardState, RoutedLayer
from studygroup._engine.row_inputs import Batch
from studygroup._engine.undrawn import undrawn
from studygroup._engine.watch import Call, Watch
from studygroup.inputs import answer, logits_of

_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-2}
_HALF = 0.15
_MODEL = "the model itself"


class PartingError(ValueError):
    """The group answers otherwise than a student alone, on rows for which that could be told."""


class MixedRowsWarning(UserWarning):
    """A layer other than batch normalisation computes with all rows in flight in training, of all students."""


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


@dataclass(frozen=True)
class _Fault:
    """A difference: what is said of it, and where it was seen."""

    said: str
    place: str = "somewhere"


class SelfCheck:
    """The comparison of a group with its students on a few rows.

    Args:
        model: the network with its routed layers, watched.
        layers: these layers.
        watch: the watch over its modules.
        undo: functions that undo what a pass has changed; called before each.
        reads: whether the parameters that passes read are compared too.
        training: whether the passes are those of training, batch norms aside.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Iterable[RoutedLayer],
        watch: Watch,
        *,
        undo: Sequence[Callable[[], None]] = (),
        reads: bool = True,
        training: bool = False,
    ) -> None:
        self.model = model
        self.layers = list(layers)
        self.watch = watch
        self.undo = undo
        self.reads = reads
        self.training = training
        self._mode = " in training" if training else ""
        self._low = _is_low(model)
        # modules without state draw nothing in evaluation: the first of a bank works for all
        self._first = {
            part: first
            for layer in self.layers
            if not (layer.has_state or training)
            for module in layer.bank
            for part, first in zip(module.modules(), layer.bank[0].modules(), strict=True)
        }

    def refusal(self, batch: Batch, student: int) -> Exception | None:
        """Return the error with which a student alone refuses a batch; `None` where it takes it."""
        try:
            self._alone(batch, student)
        except Exception as error:  # whatever a network raises on rows that it cannot take
            return error
        return None

    def compare(self, together: Together, batch: Batch, sees: Bool[Tensor, "students rows"]) -> bool:
        """Compare a pass of the group with each student alone; students of equal modules are one.

        Args:
            together: the pass of the group.
            batch: the rows.
            sees: which student sees which of them.

        Returns:
            Whether all could be compared: not where answers are drawn at random, or on the meta device.

        Raises:
            PartingError: the answers differ, or a pass reads parameters that are not the student's.
        """
        if together.logits.is_meta:
            return False
        own = self._owned()
        done: set[tuple[object, ...]] = set()
        compared = True
        for student in range(len(sees)):
            path = (
                *(layer.choice[student] for layer in self.layers if layer.has_state),
                tuple(sees[student].tolist()),
            )
            if path in done or not sees[student].any():
                continue
            done.add(path)
            rows = batch.index(sees[student].nonzero().flatten().tolist())
            try:
                logits, calls, reading = self._alone(rows, student)
            except Exception as error:
                raise PartingError(
                    f"student {student} alone cannot take rows on which the group answers: {type(error).__name__}: "
                    f"{error}. A layer of one student is called past its group, or an input that carries rows is not "
                    "declared (rows=..., shared=...)"
                ) from error
            self._check_reading(reading, student, own, batch)
            fault = self._fault(together, student, sees[student], logits, calls)
            if fault:
                compared = False
                self._judge(fault, rows, student, calls)
                continue
            silent = [
                storage for storage, times in reading.times.items() if times > together.read.get(storage, 0)
            ]
            if silent:
                raise PartingError(
                    f"student {student} alone reads {_names(own[silent[0]])} in "
                    f"{_module(reading.parameters[silent[0]])}, and the group does not, or not as often: a "
                    "layer inside a routed layer is called, or its weights are read, past the routed layer; name the "
                    "enclosing block"
                )
        return compared

    def _judge(self, fault: "_Fault", rows: Batch, student: int, calls: Sequence[Call]) -> None:
        """Refuse a group for a fault, unless the network's answers cannot be told: it draws, or takes statistics."""
        if self._draws(rows, student, calls):
            return
        if not (self.training and self._takes_statistics(rows, student, calls)):
            raise PartingError(fault.said)
        warnings.warn(
            f"{fault.place}, the network takes statistics over the rows of a batch in training, and not with batch "
            "normalisation: in a group these are the rows of all students; name the enclosing block, if each student "
            "is to have statistics of its own",
            MixedRowsWarning,
            stacklevel=2,
        )

    @contextmanager
    def passing(self, *, seed: int = 0) -> Iterator[Reading]:
        """Make one pass inside, which draws nothing and knows nothing of those before; note what it reads."""
        for undo in self.undo:
            undo()
        with undrawn(seed), self.reading() as reading:
            yield reading

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Note which parameters a pass inside reads, where that is asked for."""
        reading = Reading(self._owned(), self.watch.inside)
        if not self.reads:
            yield reading
            return
        with reading:
            self.watch.aside = reading.pause
            try:
                yield reading
            finally:
                self.watch.aside = nullcontext

    def _alone(
        self, batch: Batch, student: int, *, seed: int = 0
    ) -> tuple[Tensor | None, list[Call], Reading]:
        self.watch.clear()
        with as_student(self.model, student) as network, self.passing(seed=seed) as reading:
            logits = logits_of(answer(network, batch.inputs))
        return logits, self.watch.calls, reading

    def _draws(self, batch: Batch, student: int, calls: Sequence[Call]) -> bool:
        """Tell whether a student answers the same rows otherwise the second time."""
        _, again, _ = self._alone(batch, student, seed=1)
        return any(
            a.marks is not None and b.marks is not None and not _close(a.marks, b.marks, exact=True)
            for a, b in zip(calls, again, strict=False)
        )

    def _takes_statistics(self, batch: Batch, student: int, calls: Sequence[Call]) -> bool:
        """Tell whether a student's answer depends on the other rows, and not on the places where they stand.

        So do norms by the statistics of a batch, which a group takes over the rows in flight. A network that pairs or
        shuffles rows answers otherwise where their order is another.
        """
        places = list(range(batch.rows))
        orders = [
            places[::-1],
            places[1:] + places[:1],
        ]  # pairs of neighbours, and rows turned round, stand in one
        moved = [self._alone(batch.index(order), student)[1] for order in orders]
        repeated = self._alone(batch.index([0] * len(places)), student)[1]
        loose, depends = self._loose(torch.float32), False
        for own, *others, lonely in zip(calls, *moved, repeated, strict=False):
            marks = [one.marks for one in (own, *others, lonely)]
            there = [one for one in marks if one is not None and len(one) == batch.rows]
            if len(there) < len(marks):
                continue
            if not all(
                _close(there[0][order], one, loose=loose)
                for order, one in zip(orders, there[1:-1], strict=True)
            ):
                return False
            depends = depends or not _close(there[0][:1], there[-1][:1], loose=loose)
        return depends

    def _owned(self) -> dict[int, list[str]]:
        """Return the names of the parameters in each memory, as the user's model has them."""
        found: dict[int, list[str]] = {}
        for name, module in user_modules(self.model):
            for own, parameter in module.named_parameters(recurse=False):
                found.setdefault(storage_of(parameter), []).append(f"{name}.{own}".strip("."))
        return found

    def _check_reading(
        self, reading: Reading, student: int, own: Mapping[int, list[str]], batch: Batch
    ) -> None:
        """Refuse parameters of other students, and those of nobody in the group."""
        with as_student(self.model, student) as network:
            allowed = {storage_of(parameter) for parameter in network.parameters()}
        for storage, reader in reading.parameters.items():
            if storage not in allowed:
                raise PartingError(
                    f"{_module(reader)} reads {_names(own[storage])}, which student {student} does not own: a tie "
                    "that copies would lose. Hand the tensor over in forward, or name a layer that holds both"
                )
        given = {id(part) for part in batch.parts(carrying=False)}
        foreign = [(parameter, reader) for parameter, reader in reading.foreign if id(parameter) not in given]
        if foreign:
            parameter, reader = foreign[0]
            raise PartingError(
                f"{_module(reader)} reads a parameter of shape {tuple(parameter.shape)} that no module of the group "
                "owns: a function in the model (a hook, a lambda) or a list refers to the network that was handed "
                "in, or to a tie that copies lose. Register it as a parameter of the module that reads it, or "
                "write a subclass"
            )

    def _fault(
        self, together: Together, student: int, sees: Tensor, logits: Tensor | None, calls: Sequence[Call]
    ) -> "_Fault | None":
        """Describe where a student alone parts from the group; `None` where it does not."""
        known: dict[nn.Module, list[Call]] = {}
        for call in together.calls:
            known.setdefault(call.module, []).append(call)
        before = ""
        for call in calls:
            others = known.get(self._first.get(call.module, call.module), [])
            if not others or not _agree(others.pop(0), call, student, self._loose):
                return self._parted(student, before, call.name, together.state)
            before = call.name
        own = together.logits[student][sees.to(together.logits.device)]
        if logits is None:
            return _Fault(f"student {student} alone returns no logits{self._mode}, and the group does")
        if own.ndim == logits.ndim > 2 and own.shape != logits.shape:
            return None  # as long as the longest row
        if own.shape != logits.shape:
            return _Fault(
                f"the group's logits of student {student} have shape {tuple(own.shape)}, and those of the student "
                f"alone {tuple(logits.shape)}; an input as long as the batch counts as rows: declare it with "
                "shared=(its name,), on the group or with task.with_inputs(...)"
            )
        ours, alone = (values.detach().flatten(1).double() for values in (own, logits))
        scale = max(float(values.abs().max()) for values in (ours, alone)) if ours.numel() else 0.0
        loose = self._loose(logits.dtype) * (scale if scale < float("inf") else 1.0)
        same = torch.isclose(ours, alone, atol=loose, rtol=0.0, equal_nan=True)
        return None if bool(same.all()) else self._parted(student, before, "", together.state)

    def _parted(self, student: int, before: str, at: str, state: ForwardState) -> "_Fault":
        place = (f"after layer {before!r}" if before else "at the beginning") + (
            f", at or before layer {at!r}" if at else ""
        )
        return _Fault(_said(student, place + self._mode, state), place)

    def stopped(self, state: ForwardState, error: Exception) -> PartingError:
        """Return the error of a pass that the group cannot make and a student alone can."""
        last = next(reversed(state.reached), "")
        after = f"after layer {last!r}" if last else "at the beginning"
        rows = f"{len(state.rows)} rows are in flight, and {len(state.layout.entry)} entered"
        entered = (
            f": layer {state.entered_alone[0].name!r} was given as many as entered"
            if state.entered_alone
            else ""
        )
        return PartingError(
            f"the group cannot take rows that a student alone can, {after}: {type(error).__name__}: {error}. {rows}"
            f"{entered}. Use the number of rows of the tensor itself, declare inputs that are (or are not) rows with "
            "rows=... and shared=..., or name the enclosing block"
        )

    def _loose(self, dtype: torch.dtype) -> float:
        return _HALF if self._low else _TOLERANCE.get(dtype, _HALF)


def _said(student: int, place: str, state: ForwardState) -> str:
    if state.changed:
        return (
            f"layer {state.changed[0]!r} changes its input in place, and the network reads that input again: the "
            f"group and student {student} alone part {place}. Build it with inplace=False, or name the enclosing "
            "block"
        )
    if state.entered_alone:
        return (
            f"the group and student {student} alone part {place}: layer {state.entered_alone[0].name!r} was given "
            "as many rows as entered, although students have parted since. Take the number of rows from the tensor "
            "that the layer before returned, or name the enclosing block"
        )
    return (
        f"the group and student {student} alone answer otherwise on the same rows: they part {place}. What stands "
        "between mixes rows, or takes the number of rows from the input; use the number of rows of the tensor "
        "itself, declare inputs that are (or are not) rows with rows=... and shared=..., or name the enclosing block"
    )


def _is_low(model: nn.Module) -> bool:
    """Tell whether something is computed in half precision."""
    devices = {"cpu"}
    for parameter in model.parameters():
        devices.add(parameter.device.type)
        if parameter.dtype in (torch.float16, torch.bfloat16):
            return True
    return any(torch.is_autocast_enabled(device) for device in devices if device != "meta")


def _agree(group: Call, alone: Call, student: int, loose: Callable[[torch.dtype], float]) -> bool:
    """Tell whether a call of the group has the answers of a student alone, as far as both have rows."""
    if group.marks is None or alone.marks is None or group.rows is None or group.sizes != alone.sizes:
        return True
    if len(group.marks) != len(group.rows):
        return True
    places = group.rows.students[:, student].nonzero().flatten()
    places = places[group.rows.sample[places].argsort()]
    if len(places) != len(alone.marks):
        return True
    return _close(group.marks[places.to(group.marks.device)], alone.marks, loose=loose(alone.marks.dtype))


def _close(first: Tensor, second: Tensor, *, loose: float = 0.0, exact: bool = False) -> bool:
    if exact:
        return first.shape == second.shape and bool(
            torch.isclose(first, second, rtol=0, atol=0, equal_nan=True).all()
        )
    size = torch.maximum(first[:, :1].abs(), second[:, :1].abs())
    far = (first - second).abs() > loose * size
    return not bool((far & torch.isfinite(size)).any())


def _names(names: Sequence[str]) -> str:
    return f"parameter {names[0]!r}"


def _module(name: str) -> str:
    return f"layer {name!r}" if name else _MODEL
