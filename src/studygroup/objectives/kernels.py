"""Kernel decorrelation: a penalty on filters of one convolution that repeat each other (L_kernel)."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from studygroup import bibliography
from studygroup.checks import check_names
from studygroup.functional import kernel_decorrelation
from studygroup.group import Group
from studygroup.objectives.base import Objective, Step
from studygroup.schedules import Schedule

_KNOWN = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


class KernelDecorrelation(Objective):
    """Σ ‖C − diag(C)‖_F over layers and their copies, C the correlations of a layer's filters.

    Intra-model paper, section III-D. The groups of a grouped convolution are taken one by one, see
    `functional.kernel_decorrelation`.

    Args:
        names: names of convolutions and linear layers. The paper takes the last two groups of convolutions; so does
            `recipes.intra`.
        weight: weight of the sum, w₂; found by grid search in the paper and not printed.
    """

    sources = (bibliography.INTRA,)

    def __init__(self, names: Iterable[str], *, weight: float | Schedule = 1.0) -> None:
        super().__init__(name="kernel", weight=weight)
        self.names = tuple(check_names("names", names))

    def before_pass(self, group: Group) -> Float[Tensor, ""]:
        """Return the sum, which needs the weights alone.

        Raises:
            ValueError: a layer that is neither a convolution nor linear; a transposed convolution has its filters
                along another axis.
        """
        losses = []
        for name in self.names:
            for module in group.copies(name):
                if not isinstance(module, _KNOWN):
                    raise ValueError(
                        f"layer {name!r} is a {type(module).__name__}, whose filters are not known; name layers of "
                        f"{', '.join(kind.__name__ for kind in _KNOWN)}"
                    )
                losses.append(kernel_decorrelation(module.weight, groups=getattr(module, "groups", 1)))
        return torch.stack(losses).sum()

    def loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the same sum for a given step."""
        return self.before_pass(step.group)
