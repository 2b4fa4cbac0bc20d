"""Inputs of a group: a batch as the model takes it, and tables of which student sees which rows."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from studygroup.checks import check_kind

Inputs = Tensor | Mapping[str, Any]
"""A tensor with rows along axis 0, or a mapping of keyword arguments."""

Table = Bool[Tensor, "students rows"] | None
"""Which student sees which row, on the CPU; `None` where all see all."""


class SynchronisationWarning(UserWarning):
    """A table that routes rows lies on a device, so that the host has to wait for it."""


def on_host(table: Tensor, name: str) -> Tensor:
    """Return a table that routes rows on the CPU; warn where that means waiting for a device."""
    if table.device.type != "cpu":
        warnings.warn(
            f"{name} lies on {table.device} and is copied to the host, which waits for the device; keep it on "
            "the CPU",
            SynchronisationWarning,
            stacklevel=3,
        )
    return table.cpu()


def sees_table(sees: Tensor | None, *, students: int, rows: int) -> Tensor:
    """Return the boolean table (students, rows) of which student sees which row, on the CPU; by default all see all.

    Raises:
        ValueError: the table is not boolean, has another shape, or lets nobody see a row.
    """
    if sees is None:
        return torch.ones(students, rows, dtype=torch.bool)
    table = on_host(check_kind("sees", sees, Tensor, "a bool tensor of shape (students, rows)"), "sees")
    if table.shape != (students, rows) or table.dtype != torch.bool:
        raise ValueError(
            f"sees is {table.dtype} of shape {tuple(table.shape)}; it must be bool of shape "
            f"(students, rows) = {(students, rows)}"
        )
    if not table.any():
        raise ValueError(f"nobody sees any of the {rows} rows; let at least one student see one row")
    return table


def answer(model: nn.Module, inputs: Inputs) -> Any:
    """Call a model: with the tensor, or with the mapping as keyword arguments."""
    return model(**inputs) if isinstance(inputs, Mapping) else model(inputs)


def logits_of(output: Any) -> Tensor | None:
    """Return the logits in a model's output: the tensor itself, or its `.logits`; None without any."""
    logits = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    return logits if isinstance(logits, Tensor) else None


def logits(model: nn.Module, inputs: Inputs) -> Tensor:
    """Return a plain network's logits (rows, classes).

    Raises:
        ValueError: the model returns no logits.
    """
    output = answer(model, inputs)
    found = logits_of(output)
    if found is None:
        raise ValueError(
            f"the model returned {type(output).__name__}; it must return logits, or an output that has .logits"
        )
    return found


def first_tensor(value: Any) -> Tensor | None:
    """Return the first tensor in a nest of tuples, lists and mappings, depth first."""
    return next(tensors(value), None)


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield all tensors in a nest of tuples, lists and mappings, depth first."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from tensors(item)


def among(value: Any, several: Iterable[Any]) -> bool:
    """Tell whether a value itself is one of several; equal ones are not."""
    return any(value is one for one in several)


def count_rows(inputs: Any) -> int:
    """Count the rows of a batch: axis 0 of the tensor, or of the first tensor of a mapping.

    Raises:
        ValueError: the mapping holds `labels` (here the model does not compute the loss), or there is no tensor or no
            row.
    """
    if not isinstance(inputs, Tensor | Mapping):
        raise ValueError(
            f"the inputs are a {type(inputs).__name__}; hand in a tensor, or a mapping from the names of the model's "
            "arguments to tensors with rows along axis 0"
        )
    if isinstance(inputs, Mapping) and "labels" in inputs:
        raise ValueError("the inputs hold 'labels'; hand labels to the task, not to the model")
    first = first_tensor(inputs)
    if first is None or not first.ndim or not len(first):
        found = type(inputs).__name__ if first is None else f"a tensor of shape {tuple(first.shape)}"
        raise ValueError(
            f"the inputs are {found}; hand in a tensor or a mapping of tensors with rows along axis 0"
        )
    return len(first)


def select(inputs: Inputs, rows: int, take: Callable[[Tensor], Tensor]) -> Inputs:
    """Take rows of a tensor, or of every tensor in a nested mapping that has as many rows as the batch."""
    taken: Inputs = mapped(inputs, lambda one: take(one) if one.ndim and len(one) == rows else one)
    return taken


def mapped(value: Any, of_tensor: Callable[[Tensor], Tensor]) -> Any:
    """Replace all tensors in a nest of tuples, lists and mappings; anything else in it, named tuples too, stays."""
    if isinstance(value, Tensor):
        return of_tensor(value)
    if isinstance(value, Mapping):
        return {key: mapped(item, of_tensor) for key, item in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(mapped(item, of_tensor) for item in value)
    return value
