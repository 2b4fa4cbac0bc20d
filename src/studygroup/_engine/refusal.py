"""What is said where a network cannot take its input: the input, beside the network's own error."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from studygroup._engine.row_inputs import Batch

_OF_INPUT = (RuntimeError, TypeError, ValueError, IndexError)


class InputError(ValueError):
    """The network itself cannot take its input; the network's own error is the cause."""


@contextmanager
def input_named(model: nn.Module, batch: Batch) -> Iterator[None]:
    """Name the input in what a network raises inside, unless a device is out of memory.

    Args:
        model: the network.
        batch: rows of the input.

    Raises:
        InputError: what the network raises of its input.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except _OF_INPUT as error:
        raise InputError(_refused(model, batch, error)) from error


def _refused(model: nn.Module, batch: Batch, error: Exception) -> str:
    given = [(path, part) for path, part in batch.walk() if isinstance(part, Tensor)]
    said = ", ".join(
        f"{path or 'x'}: {_described(part, batch.carries.get(path, False))}" for path, part in given
    )
    first = next(model.parameters(), None)
    return (
        f"the network cannot take the input ({said}): {type(error).__name__}: {_first_line(error)}; "
        f"{_way_out(first, [part for _, part in given])}"
    )


def _described(tensor: Tensor, carries: bool) -> str:
    shape = ", ".join(["rows", *map(str, tensor.shape[1:])] if carries else map(str, tensor.shape))
    return f"{tensor.dtype} of shape ({shape}) on {tensor.device}"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")


def _way_out(first: Tensor | None, given: list[Tensor]) -> str:
    if first is not None and any(part.device != first.device for part in given):
        return f"its parameters are on {first.device}: hand in x.to({str(first.device)!r})"
    numbers = [part for part in given if part.is_floating_point() or part.is_complex()] or given
    if first is not None and any(part.dtype != first.dtype for part in numbers):
        return f"its parameters are {first.dtype}: hand in x.to({first.dtype}), or ids where it looks them up"
    return "hand in rows of the shape that it was built for"
