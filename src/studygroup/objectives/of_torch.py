"""Losses that are not a `Criterion`: torch's own, and modules of yours that return one number per row."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from studygroup.objectives.criteria import BinaryCrossEntropy, Criterion, CrossEntropy, SquaredError

_LOSSES = nn.modules.loss.__name__
_TAKEN = "CrossEntropyLoss, BCEWithLogitsLoss, MSELoss and MultiMarginLoss"


class RowLoss(Criterion):
    """A module `loss(logits, y)` that returns one number per row; imitation compares class probabilities.

    Args:
        module: called for each student with its logits (rows, classes), in single precision, and the labels.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def loss(
        self, spread: Float[Tensor, "students rows classes"], y: Shaped[Tensor, "rows *_"]
    ) -> tuple[Float[Tensor, "students rows"], None]:
        """Return the module's loss of every row.

        Raises:
            ValueError: it does not return one number per row.
        """
        each = [self.module(logits, y) for logits in spread]
        if each[0].shape != spread.shape[1:2]:
            raise ValueError(
                f"{type(self.module).__name__} gives a loss of shape {tuple(each[0].shape)} for {spread.shape[1]} "
                "rows; a criterion gives one number a row and leaves their mean to the task"
            )
        return torch.stack(each), None


def as_criterion(loss: nn.Module) -> Criterion:
    """Return a loss as a criterion.

    Args:
        loss: a `Criterion`, which is returned as it is; `nn.CrossEntropyLoss`, `nn.BCEWithLogitsLoss` or
            `nn.MSELoss`, which become the equivalent criterion; or another module, see `RowLoss`.

    Raises:
        ValueError: it is no module, sums or averages by itself, or takes something other than logits.
    """
    if isinstance(loss, Criterion):
        return loss
    if not isinstance(loss, nn.Module):
        raise ValueError(
            f"the criterion is {loss!r:.80}; give a studygroup.objectives.Criterion, or a module that is called with "
            "logits and labels and gives one number a row"
        )
    name, reduction = type(loss).__name__, getattr(loss, "reduction", "none")
    same = type(loss) in (nn.CrossEntropyLoss, nn.BCEWithLogitsLoss, nn.MSELoss)
    if reduction != "none" and not (same and reduction == "mean"):
        raise ValueError(
            f"{name} has reduction={reduction!r}; give reduction='none': the task itself takes the mean over the "
            "rows that a student sees"
        )
    if type(loss) is nn.CrossEntropyLoss:
        return CrossEntropy(loss.weight, ignore_index=loss.ignore_index, label_smoothing=loss.label_smoothing)
    if type(loss) is nn.BCEWithLogitsLoss:
        if loss.weight is not None:
            raise ValueError(
                "BCEWithLogitsLoss has weight, for which no criterion stands; give pos_weight, or a module of your "
                "own that gives one number a row"
            )
        return BinaryCrossEntropy(loss.pos_weight)
    if type(loss) is nn.MSELoss:
        return SquaredError()
    if type(loss).__module__ == _LOSSES and type(loss) is not nn.MultiMarginLoss:
        raise ValueError(
            f"{name} does not take logits and one class a row; of torch's losses a task takes {_TAKEN}"
        )
    return RowLoss(loss)
