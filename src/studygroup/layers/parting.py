"""Try with two students whether students can part at some layers of a network."""

from collections.abc import Iterable

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from studygroup._engine.isolate import dry_training
from studygroup.group import StudyGroup
from studygroup.inputs import Inputs
from studygroup.layers.dropouts import dropout_layers
from studygroup.layers.run import few_rows
from studygroup.routes import Layer, branches

_AROUND = "a tensor goes around it, as in a residual connection"
_LONGEST = 80  # letters of a reason
_VIEWS = 2


def cannot_part(model: nn.Module, layers: Iterable[Layer], example: Inputs) -> str:
    """Return why students cannot part at some layers together; an empty text where they can.

    Args:
        model: any network; two students of it make a pass in training, without side effects.
        layers: the layers at which each of the two has its own module.
        example: one batch, as the model takes it; its first two rows are run.
    """
    few = few_rows(example)
    try:
        group = StudyGroup(model, branches(layers, students=2), init="copy", share_head=True, example=few)
        if any(isinstance(module, _DropoutNd) for module in group.modules()):  # they part in training alone
            with dry_training(group.model):
                group(few)
    except Exception as error:  # a network may raise anything where rows do not fit
        reason = str(error)
        return _AROUND if "residual connection" in reason else f"{type(error).__name__}: {reason}"[:_LONGEST]
    return ""


def view_dropouts(model: nn.Module, example: Inputs) -> dict[str, str]:
    """Return the last two dropout layers that a training pass calls, each with why students cannot part there.

    Args:
        model: any network.
        example: one batch, as the model takes it; its first two rows are run.

    Returns:
        Names, in the order of the calls, and reasons, empty where students can part.

    Raises:
        ValueError: there are no dropout layers, see `dropout_layers`.
    """
    return {name: cannot_part(model, [name], example) for name in dropout_layers(model, example)[-_VIEWS:]}
