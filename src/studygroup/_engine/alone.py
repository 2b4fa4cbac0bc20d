"""One student by itself: its modules stand in the user's network, and what the pass reads is noted."""

from collections import Counter
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from studygroup._engine.routed import RoutedLayer
from studygroup.inputs import tensors

Storage = int


@contextmanager
def as_student(model: nn.Module, student: int) -> Iterator[nn.Module]:
    """Put one student's modules in the places of the routed layers; the model is then that student's plain network.

    Args:
        model: a network with routed layers in it, put back at the end.
        student: the student.
    """

    def own(layer: RoutedLayer) -> nn.Module:
        return layer.bank[layer.choice[student]]

    if isinstance(model, RoutedLayer):
        yield own(model)
        return
    places = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent._modules.items()
        if isinstance(child, RoutedLayer)
    ]
    try:
        for parent, name, child in places:
            parent._modules[name] = own(child)
        yield model
    finally:
        for parent, name, child in places:
            parent._modules[name] = child


def storage_of(tensor: Tensor) -> Storage:
    """Return what identifies the memory of a tensor, which its views share."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # sparse tensors and subclasses have none
        return id(tensor)


class Reading(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Note which tensors the operations inside read.

    Args:
        known: the memory of parameters that is noted by itself.
        inside: names and modules that are being called, innermost last; read at each operation.

    Attributes:
        parameters: the first module to read each memory that belongs to a parameter.
        times: how often each is read.
        foreign: parameters that are read and not known, with the first module to read each.
    """

    def __init__(self, known: Container[Storage], inside: Sequence[tuple[str, nn.Module]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known = known
        self.inside = inside
        self.parameters: dict[Storage, str] = {}
        self.times: Counter[Storage] = Counter()
        self.foreign: list[tuple[nn.Parameter, str]] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Decline torch's wrapper, which imports the compiler, for seconds; dry runs are never compiled."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation."""
        for tensor in tensors((args, kwargs)):
            storage = storage_of(tensor)
            reader = self.inside[-1][0] if self.inside else ""
            if storage in self.known:
                self.parameters.setdefault(storage, reader)
                self.times[storage] += 1
            elif isinstance(tensor, nn.Parameter) and tensor.requires_grad and not self._registered(tensor):
                self.foreign.append((tensor, reader))
        return func(*args, **(kwargs or {}))

    def _registered(self, parameter: nn.Parameter) -> bool:
        """Tell whether a module that is being called owns a parameter, as under FSDP, which exchanges them."""
        return any(parameter is own for _, module in self.inside[-1:] for own in module.parameters())
