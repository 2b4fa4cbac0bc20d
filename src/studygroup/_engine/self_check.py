"""The comparison of a group with its students, each alone: what a group answers is what ships.

Answers that differ need not be the group's doing: the network may draw, or take statistics over a batch.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from studygroup._engine.alone import Reading, as_student, storage_of
from studygroup._engine.near import Near, agree, close, equal
from studygroup._engine.parting import PartingError, parted
from studygroup._engine.passes import Alone, Passes, Together
from studygroup._engine.routed import ForwardState
from studygroup._engine.row_inputs import Batch
from studygroup._engine.watch import Call

_MODEL = "the model itself"
_ROWS = 3  # of each student
_SEEDS = (0, 1)


class MixedRowsWarning(UserWarning):
    """A layer other than batch normalisation computes with all rows in flight in training, of all students."""


@dataclass(frozen=True)
class _Fault:
    """A difference: what is said of it, and where it was seen."""

    said: str
    place: str = "somewhere"


class SelfCheck:
    """The comparison of a group with its students on a few rows.

    Args:
        passes: makes the passes of both.
    """

    def __init__(self, passes: Passes) -> None:
        self.passes = passes
        self._mode = " in training" if passes.training else ""
        self._near = Near(passes.model)
        # modules without state draw nothing in evaluation: the first of a bank works for all
        self._first = {
            part: first
            for layer in passes.layers
            if not (layer.has_state or passes.training)
            for module in layer.bank
            for part, first in zip(module.modules(), layer.bank[0].modules(), strict=True)
        }

    def compare(
        self,
        together: Together,
        batch: Batch,
        sees: Bool[Tensor, "students rows"],
        *,
        students: Sequence[int] | None = None,
    ) -> bool:
        """Compare a pass of the group with each student alone; students of equal modules are one.

        Args:
            together: the pass of the group.
            batch: the rows.
            sees: which student sees which of them.
            students: which to compare; omitted, all.

        Returns:
            Whether all could be compared: not where answers are drawn at random, or on the meta device.

        Raises:
            PartingError: the answers differ, or a pass reads parameters that are not the student's.
        """
        if together.logits.is_meta:
            return False
        own = self.passes.owned()
        done: set[tuple[object, ...]] = set()
        compared = True
        for student in range(len(sees)) if students is None else students:
            path = (
                *(layer.choice[student] for layer in self.passes.layers if layer.has_state),
                tuple(sees[student].tolist()),
            )
            if path in done or not sees[student].any():
                continue
            done.add(path)
            rows = batch.index(sees[student].nonzero().flatten().tolist())
            try:
                alone = self.passes.alone(rows, student)
            except Exception as error:
                raise PartingError(
                    f"student {student} alone cannot take rows on which the group answers: {type(error).__name__}: "
                    f"{error}. A layer of one student is called past its group, or an input that carries rows is not "
                    "declared (rows=..., shared=...)"
                ) from error
            self._check_reading(alone.reading, student, own, batch)
            fault = self._fault(together, student, sees[student], alone)
            if fault:
                compared = False
                self._judge(fault, rows, student, alone.calls)
                continue
            silent = [
                storage
                for storage, times in alone.reading.times.items()
                if times > together.read.get(storage, 0)
            ]
            if silent:
                raise PartingError(
                    f"student {student} alone reads {_names(own[silent[0]])} in "
                    f"{_module(alone.reading.parameters[silent[0]])}, and the group does not, or not as often: a "
                    "layer inside a routed layer is called, or its weights are read, past the routed layer; name the "
                    "enclosing block"
                )
        return compared

    def compare_turned(self, batch: Batch, sees: Bool[Tensor, "students rows"]) -> None:
        """Compare the first student again, the rows and the students' numbers turned round.

        Few rows may stand by chance in an order that the network gives them, such as that of their values: then the
        first students' are not the smallest both times.

        Args:
            batch: rows on which the group agrees with each student alone.
            sees: which student sees which of them.

        Raises:
            PartingError: as `compare`.
        """
        order = list(range(batch.rows))[::-1]
        rows, table = batch.index(order), sees[:, order]
        self.passes.told.turned = True
        try:
            self.compare(self.passes.together(rows, table), rows, table, students=[0])
        finally:
            self.passes.told.turned = False

    def _judge(self, fault: "_Fault", rows: Batch, student: int, calls: Sequence[Call]) -> None:
        """Refuse a group for a fault, unless the network's answers cannot be told: it draws, or takes statistics."""
        if _draws(self.passes, rows, student, calls):
            if _exchanges_rows(self.passes, rows, self._near):
                raise PartingError(fault.said)
            return
        training = self.passes.training
        if not (training and _takes_statistics(self.passes, rows, student, calls, self._near)):
            raise PartingError(fault.said)
        warnings.warn(
            f"{fault.place}, the network takes statistics over the rows of a batch in training, and not with batch "
            "normalisation: in a group these are the rows of all students; name the enclosing block, if each student "
            "is to have statistics of its own",
            MixedRowsWarning,
            stacklevel=2,
        )

    def _check_reading(
        self, reading: Reading, student: int, own: Mapping[int, list[str]], batch: Batch
    ) -> None:
        """Refuse parameters of other students, and those of nobody in the group."""
        with as_student(self.passes.model, student) as network:
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

    def _fault(self, together: Together, student: int, sees: Tensor, alone: Alone) -> "_Fault | None":
        """Describe where a student alone parts from the group; `None` where it does not."""
        known: dict[nn.Module, list[Call]] = {}
        for call in together.calls:
            known.setdefault(call.module, []).append(call)
        before = ""
        for call in alone.calls:
            others = known.get(self._first.get(call.module, call.module), [])
            if not others or not agree(others.pop(0), call, student, self._near.loose):
                return self._parted(student, before, call.name, together.state)
            before = call.name
        own = together.logits[student][sees.to(together.logits.device)]
        logits = alone.logits
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
        return None if self._near.logits(own, logits) else self._parted(student, before, "", together.state)

    def _parted(self, student: int, before: str, at: str, state: ForwardState) -> "_Fault":
        place = (f"after layer {before!r}" if before else "at the beginning") + (
            f", at or before layer {at!r}" if at else ""
        )
        return _Fault(parted(student, place + self._mode, state), place)


def _names(names: Sequence[str]) -> str:
    return f"parameter {names[0]!r}"


def _module(name: str) -> str:
    return f"layer {name!r}" if name else _MODEL


def _draws(passes: Passes, batch: Batch, student: int, calls: Sequence[Call]) -> bool:
    """Tell whether a student answers the same rows otherwise the second time."""
    again = passes.alone(batch, student, seed=1).calls
    return any(
        a.marks is not None and b.marks is not None and not equal(a.marks, b.marks)
        for a, b in zip(calls, again, strict=False)
    )


def _exchanges_rows(passes: Passes, batch: Batch, near: Near) -> bool:
    """Tell whether a student's answers change with the order of another's rows, whatever is drawn.

    So they do where a network shuffles all rows in flight by draws that are not replaced. Statistics over the rows
    are the same in any order. Not told where equal seeds give other draws.
    """
    students = len(passes.layers[0].choice) if passes.layers else 1
    count = min(batch.rows, _ROWS)
    if students < 2 or count < 2:
        return False
    places = [place for place in range(count) for _ in range(students)]
    turned = [(place + 1) % count if number % students == 0 else place for number, place in enumerate(places)]
    sees = torch.eye(students, dtype=torch.bool).repeat(1, count)

    def others(order: Sequence[int], seed: int) -> Tensor:
        return passes.together(batch.index(order), sees, seed=seed).logits[1:]

    for seed in _SEEDS:
        try:
            first, again, other = (others(order, seed) for order in (places, places, turned))
        except Exception:  # a network that takes no such rows
            return False
        known = first.shape == again.shape == other.shape and near.logits(first, again, tight=True)
        if known and not near.logits(first, other, tight=True):
            return True
    return False


def _takes_statistics(passes: Passes, batch: Batch, student: int, calls: Sequence[Call], near: Near) -> bool:
    """Tell whether a student's answer depends on the other rows, and not on the places where they stand.

    So do norms by the statistics of a batch, which a group takes over the rows in flight. A network that pairs or
    shuffles rows answers otherwise where their order is another.
    """
    places = list(range(batch.rows))
    # rows turned round stand in one of these orders, pairs of neighbours in the other
    orders = [places[::-1], places[1:] + places[:1]]
    moved = [passes.alone(batch.index(order), student).calls for order in orders]
    repeated = passes.alone(batch.index([0] * len(places)), student).calls
    loose, depends = near.loose(torch.float32), False
    for own, *others, lonely in zip(calls, *moved, repeated, strict=False):
        marks = [one.marks for one in (own, *others, lonely)]
        there = [one for one in marks if one is not None and len(one) == batch.rows]
        if len(there) < len(marks):
            continue
        if not all(
            close(there[0][order], one, loose=loose) for order, one in zip(orders, there[1:-1], strict=True)
        ):
            return False
        depends = depends or not close(there[0][:1], there[-1][:1], loose=loose)
    return depends
