"""A routed layer: parallel modules in place of one, each called once on its rows."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from studygroup._engine.one_row import one_row_named
from studygroup._engine.ranks import every_parameter_needs_a_gradient
from studygroup._engine.rows import BatchLayout, Rows, Split
from studygroup.inputs import first_tensor


class ForwardState:
    """One forward pass of a group: where the rows stand now, and what is recorded on the way.

    Args:
        layout: which student sees which rows.
        rescale_gradients: whether gradients are divided by the number of branches where students part.

    Attributes:
        rows: the rows that the code now running works on.
        reached: names of the routed layers that were called, in call order.
        trunk: rows and input of the first routed layer.
    """

    def __init__(self, layout: BatchLayout, *, rescale_gradients: bool) -> None:
        self.layout = layout
        self.rescale_gradients = rescale_gradients
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


_state: ContextVar[ForwardState | None] = ContextVar("studygroup_state", default=None)


@contextmanager
def use_state(state: ForwardState) -> Iterator[ForwardState]:
    """Make a state the current one of the routed layers."""
    token = _state.set(state)
    try:
        yield state
    finally:
        _state.reset(token)


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
        self.bank = nn.ModuleList(bank)
        self.has_state = any(True for _ in (*self.bank.parameters(), *self.bank.buffers()))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Split the rows by module, run each module once, and put the rows back in canonical order."""
        state = _state.get()
        if state is None:
            raise ValueError(
                f"layer {self.name!r} is routed and was called outside its group; call the StudyGroup, or "
                "export(student=...) a plain network (re-computed activations are not supported around a "
                "routed layer, only inside one)"
            )
        batch = first_tensor((args, kwargs))
        self._check(batch, state)
        assert batch is not None
        state.arrive(self.name, batch)
        if not (self.has_state or self.training):
            return self.bank[0](*args, **kwargs)  # deterministic and equal for all: nothing to part for
        split = state.layout.split(state.rows, self.choice, len(self.bank))
        given = _hand_out((args, kwargs), split, state)
        outputs = self._run(split, given, batch, state)
        state.rows = split.rows
        state.counts.append(len(split.rows))
        result = _bring_together(outputs, split, self.name)
        idle = [p for module in split.idle for p in self.bank[module].parameters()]
        return joined_by_zero(result, idle)

    def _run(self, split: Split, given: list[Any], batch: Tensor, state: ForwardState) -> list[Any]:
        outputs = []
        shared = len(split.modules) > 1
        version = None if batch.is_inference() else batch._version
        for module, rows, (args, kwargs) in zip(split.modules, split.parts, given, strict=True):
            with state.on(rows):
                outputs.append(self.bank[module](*args, **kwargs))
        if shared and version is not None and batch._version != version:
            raise ValueError(
                f"layer {self.name!r} changes its input in place, and other students read the same input; "
                "build it with inplace=False, or name the enclosing block"
            )
        return outputs

    def _check(self, batch: Tensor | None, state: ForwardState) -> None:
        fits = batch is not None and batch.ndim and len(batch) in (len(state.rows), len(state.layout.entry))
        if not fits:
            shape = None if batch is None else tuple(batch.shape)
            raise ValueError(
                f"layer {self.name!r} was given an input of shape {shape} while {len(state.rows)} rows are in "
                "state; rows must lie along axis 0 (batch_first=True), or name the enclosing block"
            )

    def __deepcopy__(self, memo: dict[Any, Any]) -> nn.Module:
        """Return a deep copy, or that of one student's module."""
        if STUDENT in memo:
            return copy.deepcopy(self.bank[self.choice[memo[STUDENT]]], memo)
        made = memo[id(self)] = type(self).__new__(type(self))  # first: modules may refer to what holds them
        made.__setstate__(copy.deepcopy(self.__dict__, memo))
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


def _rescaled(batch: Tensor, branches: Tensor) -> Tensor:
    """Return the same values, with gradients divided by the number of branches of each row (CL-ILR)."""
    alias = batch.view_as(batch)  # a hook on the batch itself would reach shortcuts around the layer too
    per_row = branches.view(-1, *[1] * (batch.ndim - 1))
    alias.register_hook(lambda gradient: gradient / per_row)  # type: ignore[no-untyped-call]
    return alias


def _hand_out(value: Any, split: Split, state: ForwardState) -> list[Any]:
    """Return the arguments of each module that has rows, with its rows alone."""
    parts = range(len(split.parts))
    if isinstance(value, Tensor) and value.ndim and len(value) == len(state.rows):
        if state.rescale_gradients and value.requires_grad and len(split.rows) > len(state.rows):
            value = _rescaled(value, split.branches_on(value.device))
        taken = split.take([value])
    elif isinstance(value, Tensor) and value.ndim and len(value) == len(state.layout.entry):
        taken = split.take_entry([value])
    elif isinstance(value, Mapping):
        columns = {key: _hand_out(item, split, state) for key, item in value.items()}
        return [_like(value, {key: column[i] for key, column in columns.items()}) for i in parts]
    elif isinstance(value, list | tuple):
        rows = [_hand_out(item, split, state) for item in value]
        return [_like(value, [row[i] for row in rows]) for i in parts]
    else:
        return [value for _ in parts]
    if value.is_inference() and len(parts) > 1:  # no version counter would tell of work in place
        return [tensor.clone() for tensor in taken]
    return taken


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
        return _like(first, {key: _bring_together([o[key] for o in outputs], split, name) for key in first})
    if isinstance(first, list | tuple):
        return _like(first, [_bring_together(list(o), split, name) for o in zip(*outputs, strict=True)])
    if all(type(o) is type(first) and o == first for o in outputs):
        return first
    raise ValueError(
        f"layer {name!r} returned {first!r}, which differs from module to module and has no rows"
    )


def _like(example: Any, items: Any) -> Any:
    """Build a container of the example's own class."""
    if hasattr(example, "_fields"):  # a named tuple
        return type(example)(*items)
    if isinstance(example, Mapping):
        return items if type(example) is dict else type(example)(**items)
    return type(example)(items)


def _plus(value: Any, zero: Tensor) -> Any:
    """Join parameters that no row has reached to the graph of a layer's output."""
    if isinstance(value, Tensor):
        return value + zero.to(value) if value.is_floating_point() else value
    if isinstance(value, Mapping):
        return _like(value, {key: _plus(item, zero) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return _like(value, [_plus(item, zero) for item in value])
    return value
