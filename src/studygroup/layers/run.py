"""A dry run of a few rows."""

from typing import Any

from torch import nn

from studygroup.inputs import Inputs, answer, count_rows, select

_ROWS = 2


def run(model: nn.Module, example: Inputs) -> Any:
    """Return the model's output for the first rows of a batch."""
    few = select(example, count_rows(example), lambda tensor: tensor[:_ROWS])
    return answer(model, few)
