"""What goes into a group: a batch, as the model takes it, and tables that say whose rows are whose."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Inputs = Tensor | Mapping[str, Any]
"""A tensor with rows along axis 0, or a mapping of keyword arguments."""


class SynchronisationWarning(UserWarning):
    """A table that decides which rows go where lay on a device and had to be waited for."""


def on_host(table: Tensor, name: str) -> Tensor:
    """Return a table that decides which rows go where on the CPU; one on a device is waited for, with a warning."""
    if table.device.type != "cpu":
        warnings.warn(
            f"{name} lies on {table.device} and is copied to the host, which waits for the device; keep it on "
            "the CPU",
            SynchronisationWarning,
            stacklevel=3,
        )
    return table.cpu()


def sees_table(sees: Tensor | None, *, students: int, rows: int) -> Tensor:
    """Who sees which row, as a table on the CPU; omitted, all see all.

    Raises:
        ValueError: not bool, another shape, or nobody sees anything.
    """
    if sees is None:
        return torch.ones(students, rows, dtype=torch.bool)
    table = on_host(sees, "sees")
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
    """Return the logits among what a model returns: the tensor itself, or its `.logits`; None without any."""
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
    if isinstance(value, Tensor):
        return value
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return next((tensor for item in items if (tensor := first_tensor(item)) is not None), None)


def count_rows(inputs: Any) -> int:
    """Rows of a batch: axis 0 of the tensor, or of the first tensor of a mapping.

    Raises:
        ValueError: a mapping that holds `labels` (the loss is not the model's business here), no tensor, or
            no rows.
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
    """Take rows of a tensor, or of those tensors in a mapping, and what it holds, that have as many rows.

    Args:
        inputs: a tensor, or a mapping of tensors, mappings, lists and tuples of them, and anything else.
        rows: of the batch.
        take: from a tensor to some of its rows.
    """
    taken: Inputs = _select(inputs, rows, take)
    return taken


def _select(value: Any, rows: int, take: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return take(value) if value.ndim and len(value) == rows else value
    if isinstance(value, Mapping):
        return {key: _select(item, rows, take) for key, item in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(_select(item, rows, take) for item in value)
    return value
