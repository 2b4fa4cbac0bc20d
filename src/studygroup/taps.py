"""Notes what passes through named layers of the user's model, wherever the surgery has put them."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from studygroup.branching import Flight, RoutedLayer, first_tensor
from studygroup.rows import Rows

Pieces = list[tuple[Rows, Tensor]]


def user_modules(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """All modules by the names that they have in the user's model; those of a bank share one name."""
    if isinstance(module, RoutedLayer):
        for parallel in module.bank:
            yield from user_modules(parallel, name)
        return
    yield name, module
    for child_name, child in module.named_children():
        yield from user_modules(child, f"{name}.{child_name}" if name else child_name)


@contextmanager
def tapping(
    model: nn.Module, names: Iterable[str], flight: Flight, *, inputs: bool = False
) -> Iterator[dict[str, Pieces]]:
    """Notes the outputs, or the first inputs, of named layers during a flight.

    Args:
        model: a network with routed layers in it.
        names: layer names as the user's model has them.
        flight: the pass that tells which rows a module works on.
        inputs: note what goes in instead of what comes out.

    Yields:
        For every name that was called, in the order of the last calls: rows and tensor of each module.

    Raises:
        ValueError: a name that the model does not have.
    """
    modules: dict[str, list[nn.Module]] = {}
    for name, module in user_modules(model):
        modules.setdefault(name, []).append(module)
    seen: dict[str, dict[nn.Module, tuple[Rows, Tensor]]] = {}
    called: dict[str, Pieces] = {}

    def note(name: str, module: nn.Module, value: Any) -> None:
        tensor = first_tensor(value)
        if tensor is not None:
            seen.setdefault(name, {})[module] = (flight.rows, tensor)
            called.pop(name, None)
            called[name] = list(seen[name].values())

    with ExitStack() as hooks:
        for name in names:
            if name not in modules:
                near = difflib.get_close_matches(name, modules, n=3, cutoff=0.4)
                raise ValueError(f"no layer {name!r} to look at; near matches: {near}")
            for module in modules[name]:
                hooks.callback(_hook(module, name, note, inputs=inputs).remove)
        yield called


def _hook(module: nn.Module, name: str, note: Any, *, inputs: bool) -> Any:
    if inputs:
        return module.register_forward_pre_hook(
            lambda _, args, kwargs: note(name, module, (args, kwargs)), with_kwargs=True
        )
    return module.register_forward_hook(lambda _, args, output: note(name, module, output))
