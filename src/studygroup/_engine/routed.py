"""A routed layer: parallel modules in place of one, each called once on its rows."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from studygroup._engine.arguments import Arguments, Note, like
from studygroup._engine.ranks import every_parameter_needs_a_gradient
from studygroup._engine.rows import BatchLayout, Rows, Split
from studygroup._engine.versions import Watched
from studygroup._engine.walk import every_module
from studygroup._engine.whole_norms import norms_are_whole
from studygroup.inputs import tensors

_TOO_FEW = "Expected more than 1 value per channel when training"  # torch's, of batch and group normalisation


class OneRowError(ValueError):
    """A normalisation in training mode needs more than the one row that it was given.

    Args:
        students: whose row it is.
    """

    def __init__(self, students: Sequence[int]) -> None:
        who = f"student {students[0]} has" if len(students) == 1 else f"students {list(students)} have"
        super().__init__(
            f"{who} 1 row in this step, and a normalisation over the batch needs at least 2 in training mode; draw "
            "steps with studygroup.data.StudentBatches or SharedBatches, which leave no row alone, deal a batch with "
            "studygroup.owners(rows, students=...), leave the last short batch out (drop_last=True), or put the norm "
            "into eval mode"
        )


@contextmanager
def one_row_named(rows: Rows) -> Iterator[None]:
    """Raise torch's error of too few values as one that names the students of the row.

    Raises:
        OneRowError: instead of torch's, if there is one row.
    """
    try:
        yield
    except ValueError as error:
        if _TOO_FEW not in str(error) or len(rows) != 1:
            raise
        raise OneRowError(rows.students[0].nonzero().flatten().tolist()) from error


class ForwardState:
    """One forward pass of a group: where the rows stand now, and what is recorded on the way.

    Args:
        layout: which student sees which rows.
        rescale_gradients: whether gradients are divided by the number of branches where students part.
        entering: the tensors and lists that carry the rows that enter.
        whole: the tensors that enter and carry no rows.
        trial: whether this is a dry run, whose answers are compared with those of each student alone.
        listens: whether layers are listened to by hooks, which code that was compiled before does not have.

    Attributes:
        rows: the rows that the code now running works on.
        reached: names of the routed layers that were called, in call order.
        trunk: rows and input of the first routed layer.
        notes: what a dry run has shown of layers' arguments.
        entered_alone: layers that a dry run has called on rows as they entered, although students had parted.
        changed: names of the layers that have changed their input in place in a dry run.
        heard: rows and tensor of each module that is listened to, by layer and whether its input is meant.
    """

    def __init__(
        self,
        layout: BatchLayout,
        *,
        rescale_gradients: bool,
        entering: tuple[Any, ...] = (),
        whole: tuple[Any, ...] = (),
        trial: bool = False,
        listens: bool = False,
    ) -> None:
        self.layout = layout
        self.rescale_gradients = rescale_gradients
        self.entering = entering
        self.whole = whole
        self.trial = trial
        self.listens = listens
        self.notes: list[Note] = []
        self.entered_alone: list[Arguments] = []
        self.changed: list[str] = []
        self.heard: dict[tuple[str, bool], dict[int, tuple[Rows, Tensor, int]]] = {}  # and its version
        self.rows = layout.entry
        self.counts = [len(layout.entry)]
        self.reached: dict[str, None] = {}
        self.trunk: tuple[Rows, Tensor] | None = None

    def arrive(self, name: str, batch: Tensor) -> None:
        """Record that a routed layer is reached, and its input."""
        if self.trunk is None:
            self.trunk = (self.rows, batch)
        self.reached[name] = None

    @contextmanager
    def on(self, rows: Rows) -> Iterator[None]:
        """Tell captures inside a module which rows it works on."""
        before, self.rows = self.rows, rows
        try:
            with one_row_named(rows):
                yield
        finally:
            self.rows = before


class _Current:
    """Where the routed layers find their pass; the compiler can follow an attribute, and not a context variable."""

    state: ForwardState | None = None


_current: ContextVar[_Current | None] = ContextVar("studygroup_state", default=None)


@contextmanager
def a_current_state() -> Iterator[None]:
    """Keep a place for the states of the passes inside; compiled ones need it made before."""
    token = _current.set(_Current())
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def use_state(state: ForwardState) -> Iterator[ForwardState]:
    """Make a state the current one of the routed layers."""
    current = _current.get()
    if current is None:
        with a_current_state(), use_state(state):
            yield state
        return
    before, current.state = current.state, state
    try:
        yield state
    finally:
        current.state = before


def current_state() -> ForwardState | None:
    """Return the pass that is under way."""
    current = _current.get()
    return None if current is None else current.state


STUDENT = "studygroup_student"
"""Key of a memo: copies made with it have that student's module in place of each routed layer."""


class RoutedLayer(nn.Module):
    """Parallel modules in place of one; each is called once on the rows whose students take it.

    Args:
        name: the layer's name in the user's model.
        bank: the parallel modules; the first is the user's own.
        choice: the module of each student.
    """

    def __init__(self, name: str, bank: Sequence[nn.Module], choice: Sequence[int]) -> None:
        super().__init__()
        self.name = name
        self.choice = tuple(choice)
        self.has_state = any(True for module in bank for _ in (*module.parameters(), *module.buffers()))
        self.arguments = Arguments(name)
        self.bank = nn.ModuleList(bank)  # last: from here on settings are the modules'

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Split the rows by module, run each module once, and put the rows back in canonical order."""
        state = current_state()
        if state is None:
            raise ValueError(
                f"layer {self.name!r} is routed and was called outside its group; call the StudyGroup, or "
                "export(student=...) a plain network. In a backward pass it is activation checkpointing around a "
                "routed layer, which works inside one alone: switch it off, set_grad_checkpointing(False) in timm, "
                "or build the network of layers that call torch.utils.checkpoint in their own forward"
            )
        batch = self.arguments.leading((args, kwargs), state)
        state.arrive(self.name, batch)
        drawing = self.training or (not torch.compiler.is_compiling() and self._draws())
        if not (self.has_state or drawing):
            return self.bank[0](*args, **kwargs)  # deterministic and equal for all: nothing to part for
        every = self.training and norms_are_whole()
        split = state.layout.split(state.rows, self.choice, len(self.bank), every=every)
        given, read = self.arguments.hand_out((args, kwargs), split, state)
        outputs = self._run(split, given, read, state)
        state.rows = split.rows
        state.counts.append(len(split.rows))
        result = _bring_together(outputs, split, self.name)
        idle = [p for module in split.idle for p in self.bank[module].parameters()]
        return joined_by_zero(result, idle)

    def _run(self, split: Split, given: list[Any], read: list[Tensor], state: ForwardState) -> list[Any]:
        outputs = []
        copies = list(tensors(given)) if state.trial else []
        watched = Watched([*read, *copies])
        for module, rows, (args, kwargs) in zip(split.modules, split.parts, given, strict=True):
            with state.on(rows):
                outputs.append(self.bank[module](*args, **kwargs))
        changed = watched.changed()
        parted = len(split.rows) > len(state.rows)
        if changed and (parted if state.trial else len(split.modules) > 1):
            raise ValueError(
                f"layer {self.name!r} changes its input in place, and other students read the same input; "
                "build it with inplace=False, or name the enclosing block"
            )
        if changed:
            state.changed.append(self.name)
        return outputs

    def _draws(self) -> bool:
        """Tell whether a module was put into training mode by itself, as dropouts are for draws in evaluation."""
        return any(part.training for module in self.bank for part in every_module(module))

    def follow_first(self) -> None:
        """Bring all modules into the modes of the first, which alone a model's own `train` may have set."""
        for module in self.bank[1:]:
            for own, first in zip(module.modules(), self.bank[0].modules(), strict=True):
                own.training = first.training

    def __getitem__(self, key: Any) -> Any:
        """Return a part of the first module, as its attributes are: models set modes and read settings by it."""
        return self.bank[0][key]  # type: ignore[index]

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the first module, where it has parts."""
        return iter(self.bank[0])  # type: ignore[call-overload, no-any-return]

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; a setting that the modules have, such as a switch of the model's, in all of them."""
        bank = self.__dict__.get("_modules", {}).get("bank")
        own = name in self.__dict__ or hasattr(type(self), name)
        if bank is None or own or isinstance(value, Tensor | nn.Module):
            super().__setattr__(name, value)
            return
        having = [module for module in bank if name in vars(module)]
        for module in having:
            setattr(module, name, value)
        if not having:
            super().__setattr__(name, value)

    def __deepcopy__(self, memo: dict[Any, Any]) -> nn.Module:
        """Return a deep copy, or that of one student's module."""
        if STUDENT in memo:
            alone: nn.Module = copy.deepcopy(self.bank[self.choice[memo[STUDENT]]], memo)
            return alone
        made = memo[id(self)] = type(self).__new__(type(self))  # first: modules may refer to what holds them
        made.__setstate__(copy.deepcopy(self.__dict__, memo))  # type: ignore[no-untyped-call]
        return made

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            bank = self.__dict__.get("_modules", {}).get("bank")
            if bank is None:
                raise
        value = getattr(bank[0], name)  # models read settings of their layers: strides, flags, sub-modules
        if isinstance(value, Tensor):
            raise AttributeError(
                f"{name!r} of routed layer {self.name!r} is another tensor for every student; the model may "
                "only call the layer. Name the enclosing block instead"
            )
        return value


class _Zero(torch.autograd.Function):
    """A zero that gives zero gradients to parameters that no row has reached in this step."""

    @staticmethod
    def forward(ctx: Any, *parameters: Tensor) -> Tensor:
        ctx.save_for_backward(*parameters)
        return parameters[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.zeros_like(parameter) for parameter in ctx.saved_tensors)


def joined_by_zero(value: Any, idle: Sequence[nn.Parameter]) -> Any:
    """Return the same tensors; with them, parameters that no row has reached get zero gradients where ranks meet.

    In one process they get none, so that neither momentum nor weight decay moves them.
    """
    trainable = [parameter for parameter in idle if parameter.requires_grad]
    wanted = trainable and torch.is_grad_enabled() and every_parameter_needs_a_gradient()
    return _plus(value, _Zero.apply(*trainable)) if wanted else value


def _bring_together(outputs: list[Any], split: Split, name: str) -> Any:
    """Join the modules' outputs, rows in canonical order."""
    first = outputs[0]
    if isinstance(first, Tensor):
        wrong = [o for o, part in zip(outputs, split.parts, strict=True) if not o.ndim or len(o) != len(part)]
        if wrong:
            raise ValueError(
                f"layer {name!r} returned a tensor of shape {tuple(wrong[0].shape)}, whose axis 0 is not its "
                "rows; name the enclosing block"
            )
        return split.restore(outputs)[0]
    if isinstance(first, Mapping):
        return like(first, {key: _bring_together([o[key] for o in outputs], split, name) for key in first})
    if isinstance(first, list | tuple):
        return like(first, [_bring_together(list(o), split, name) for o in zip(*outputs, strict=True)])
    if all(type(o) is type(first) and o == first for o in outputs):
        return first
    raise ValueError(
        f"layer {name!r} returned {first!r}, which differs from module to module and has no rows"
    )


def _plus(value: Any, zero: Tensor) -> Any:
    """Join parameters that no row has reached to the graph of a layer's output."""
    if isinstance(value, Tensor):
        return value + zero.to(value) if value.is_floating_point() else value
    if isinstance(value, Mapping):
        return like(value, {key: _plus(item, zero) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return like(value, [_plus(item, zero) for item in value])
    return value
