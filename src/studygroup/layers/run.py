"""A dry run of a few rows."""

from typing import Any

from torch import nn

from studygroup.inputs import Inputs, answer, count_rows, select

_ROWS = 2


def few_rows(example: Inputs) -> Inputs:
    """Return the first rows of a batch."""
    return select(example, count_rows(example), lambda tensor: tensor[:_ROWS])


def run(model: nn.Module, example: Inputs) -> Any:
    """Return the model's output for the first rows of a batch."""
    return answer(model, few_rows(example))
