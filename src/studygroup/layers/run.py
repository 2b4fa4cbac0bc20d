"""A dry run of a few rows, and the tensors in its inputs and outputs."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from studygroup.inputs import Inputs, answer, count_rows, select

_ROWS = 2


def run(model: nn.Module, example: Inputs) -> Any:
    """Return the model's output for the first rows of a batch."""
    few = select(example, count_rows(example), lambda tensor: tensor[:_ROWS])
    return answer(model, few)


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield all tensors in nested tuples, lists and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors(item)
