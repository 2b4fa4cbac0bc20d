"""What the modules of a network answer in a pass, by row, small enough to be kept for all of them."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from studygroup._engine.arguments import like
from studygroup._engine.capture import user_modules
from studygroup._engine.routed import RoutedLayer
from studygroup._engine.rows import Rows
from studygroup.inputs import first_tensor


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a module.

    Attributes:
        name: the module's name in the user's model.
        module: the module.
        rows: the rows in flight that it works on; `None` for a student alone.
        marks: two numbers for each entry of axis 0 of its first output, the length and a projection; `None` where
            that is no tensor of numbers.
        sizes: the other sizes of that output.
    """

    name: str
    module: nn.Module
    rows: Rows | None
    marks: Tensor | None
    sizes: tuple[int, ...]


class Watch:
    """The calls of all modules in a pass, in their order.

    Attributes:
        calls: those that have ended.
        inside: names and modules of those that have begun and not ended.
        rows: returns the rows in flight at any time.
        aside: makes a context for what the watch itself computes.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.inside: list[tuple[str, nn.Module]] = []
        self.rows: Callable[[], Rows | None] = lambda: None
        self.aside: Callable[[], AbstractContextManager[Any]] = nullcontext
        self._last: tuple[Tensor | None, int | None, Tensor | None] = (None, None, None)
        self._directions: dict[tuple[int, torch.device, torch.dtype], Tensor] = {}

    @contextmanager
    def on(self, model: nn.Module) -> Iterator["Watch"]:
        """Watch all modules of a network but scripts, which take no hooks; modules of a bank share one name."""
        with ExitStack() as hooks:
            for name, module in user_modules(model):
                if isinstance(module, torch.jit.ScriptModule):
                    continue
                hooks.callback(module.register_forward_pre_hook(self._begin(name)).remove)
                hooks.callback(module.register_forward_hook(self._end(name)).remove)
            yield self

    def clear(self, rows: Callable[[], Rows | None] = lambda: None) -> None:
        """Begin a new pass."""
        self.calls, self.inside, self.rows = [], [], rows
        self._last = (None, None, None)

    def _begin(self, name: str) -> Callable[..., None]:
        return lambda module, args: self.inside.append((name, module))

    def _end(self, name: str) -> Callable[..., None]:
        def note(module: nn.Module, args: Any, output: Any) -> None:
            if self.inside:
                self.inside.pop()
            tensor = first_tensor(output)
            marks = None if tensor is None else self._remembered(tensor)
            sizes = () if tensor is None or marks is None else tuple(tensor.shape[1:])
            self.calls.append(Call(name, module, self.rows(), marks, sizes))

        return note

    def _remembered(self, tensor: Tensor) -> Tensor | None:
        """Return the marks of a tensor, which a container returns after its last part."""
        state = None if tensor.is_inference() else tensor._version
        last, before, marks = self._last
        if tensor is not last or state is None or state != before:
            with self.aside():
                marks = self._marks(tensor.detach())
            self._last = (tensor, state, marks)
        return marks

    def _marks(self, tensor: Tensor) -> Tensor | None:
        if not tensor.is_floating_point() or not tensor.ndim or tensor.is_nested or not tensor.numel():
            return None
        flat = tensor.flatten(1) if tensor.ndim > 1 else tensor[:, None]
        flat = flat if flat.dtype in (torch.float32, torch.float64) else flat.float()
        key = (flat.shape[1], flat.device, flat.dtype)
        if key not in self._directions:
            self._directions[key] = direction(*key)
        return torch.stack([torch.linalg.vector_norm(flat, dim=1), flat @ self._directions[key]], 1)


def direction(width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return a direction on which rows that differ have different projections; the golden angle repeats nothing."""
    return torch.cos(torch.arange(width, device=device, dtype=dtype) * 2.399963)


class ToldApart:
    """Lets the modules of each bank answer differently, whatever their weights: copies start equal.

    Attributes:
        turned: whether the first module of a bank answers with the largest numbers, in place of the last.
    """

    def __init__(self) -> None:
        self.turned = False

    @contextmanager
    def on(self, layers: Iterable[RoutedLayer]) -> Iterator["ToldApart"]:
        """Tell the modules of some routed layers apart inside."""
        with ExitStack() as hooks:
            for layer in layers:
                for place, module in enumerate(layer.bank):
                    if (
                        layer.has_state
                        and len(layer.bank) > 1
                        and not isinstance(module, torch.jit.ScriptModule)
                    ):
                        differ = self._differ(place, len(layer.bank) - 1 - place)
                        hooks.callback(module.register_forward_hook(differ).remove)
            yield self

    def _differ(self, place: int, turned: int) -> Callable[..., Any]:
        return lambda module, args, output: _moved(output, (turned if self.turned else place) / 8)


def _moved(value: Any, by: float) -> Any:
    if not by:
        return value
    if isinstance(value, Tensor):
        return value * (1 + by) + by if value.is_floating_point() and not value.is_nested else value
    if type(value) in (list, tuple, dict) or hasattr(value, "_fields"):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        moved = {key: _moved(item, by) for key, item in items}
        return like(value, moved if isinstance(value, dict) else list(moved.values()))
    return value
