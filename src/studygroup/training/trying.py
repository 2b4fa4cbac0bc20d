"""Parts of one's own are tried on a few rows before anything is trained or written."""

import torch
from torch import nn

from studygroup._engine.isolate import without_side_effects
from studygroup.inputs import Inputs, count_rows, logits
from studygroup.objectives import Criterion


def check_answers(net: nn.Module, name: str, example: Inputs, *, classes: int) -> None:
    """Run a few rows through a network of one's own, of which nothing is changed.

    Raises:
        ValueError: it does not take them, or answers with another number of classes.
    """
    try:
        with without_side_effects(net, training=False):
            found = logits(net, example)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ValueError(f"network {name!r} does not take rows of the data: {error}") from error
    rows = count_rows(example)
    if found.shape != (rows, classes):
        raise ValueError(
            f"network {name!r} gives logits of shape {tuple(found.shape)} for {rows} rows of {classes} classes; let "
            "it take the number of classes as `classes` or `num_classes`, or set it by --model_options"
        )


def check_criterion(criterion: Criterion, *, classes: int, mixed: bool) -> None:
    """Try a criterion on labels as the run has them: class probabilities, where they are mixed.

    Raises:
        ValueError: it does not give one number a row.
    """
    labels = torch.full((2, classes), 1 / classes) if mixed else torch.zeros(2, dtype=torch.int64)
    try:
        criterion.loss(criterion.spread(torch.zeros(1, 2, classes)), labels)
    except Exception as error:  # whatever a loss raises
        kind = "class probabilities, as --mix makes them" if mixed else "one class a row"
        raise ValueError(f"the criterion does not take logits with {kind}: {error}") from error
