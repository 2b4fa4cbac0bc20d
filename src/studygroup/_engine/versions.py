"""Whether tensors have been changed in place, by torch's own count."""

from collections.abc import Iterable

import torch
from torch import Tensor

from studygroup.inputs import Inputs, tensors


def version(tensor: Tensor) -> int:
    """Return how often a tensor was changed in place; 0 where torch does not count, and in compiled code."""
    return 0 if torch.compiler.is_compiling() or tensor.is_inference() else tensor._version


class Watched:
    """Tensors as they are now, to be compared with what becomes of them."""

    def __init__(self, values: Iterable[Tensor]) -> None:
        compiling = torch.compiler.is_compiling()  # dry runs have looked before
        self._noted = [] if compiling else [(tensor, version(tensor)) for tensor in values]

    def changed(self) -> list[Tensor]:
        """Return those that have been changed since."""
        return [tensor for tensor, before in self._noted if version(tensor) != before]


class SameInput(Watched):
    """The input of several passes, each of which must read it as it came."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(tensors(inputs))

    def check(self) -> None:
        """Refuse to go on with what an earlier pass has made of the input.

        Raises:
            ValueError: it was changed in place.
        """
        if self.changed():
            raise ValueError(
                "a network changes its input in place, and another pass of this step reads the same input; write "
                "x = x - mean in place of x -= mean or x.sub_(mean), or begin its forward with x = x.clone()"
            )
