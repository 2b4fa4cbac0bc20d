"""Capture the activations of named layers of the user's model, wherever the surgery has put them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from studygroup._engine.routed import ForwardState, RoutedLayer, current_state
from studygroup._engine.rows import Rows
from studygroup._engine.versions import version
from studygroup._engine.walk import every_module
from studygroup.inputs import first_tensor
from studygroup.naming import check_layers

Pieces = list[tuple[Rows, Tensor]]


@dataclass(frozen=True)
class Layer:
    """A layer of the user's model, as seen by objectives that train single layers.

    Attributes:
        modules: names of the modules that form it, in call order: `("conv1", "bn1")`, or one block.
        activated: its output is that of the activation module which the model calls next on an output of the same
            size, before any other of the layers (after the sum, in a residual block); `False`, or without such a call
            (an activation that is a function), that of its last module, to which functions that work in place have
            been applied if it is activated.
        tokens: its output is (rows, tokens, width); otherwise channels come before space.
    """

    modules: tuple[str, ...]
    activated: bool = False
    tokens: bool = False

    @property
    def name(self) -> str:
        """The name of its first module."""
        return self.modules[0]


@dataclass(frozen=True)
class Capture:
    """A request for what a pass is to return besides logits.

    Attributes:
        activations: names of layers whose outputs (of their last call) are captured, by student and row.
        features: whether the input of the classifier is captured.
        trunk: whether the input of the first routed layer is captured, which all students share.
        in_flight: layers whose outputs are captured as they stand in flight, one tensor for each module.
    """

    activations: tuple[str, ...] = ()
    features: bool = False
    trunk: bool = False
    in_flight: tuple[Layer, ...] = ()

    def by_hooks(self) -> bool:
        """Tell whether anything is captured by hooks, which compiled code cannot be given afterwards."""
        return bool(self.activations or self.features or self.in_flight)

    def __or__(self, other: "Capture") -> "Capture":
        """Return the union of both requests."""
        return Capture(
            activations=tuple(dict.fromkeys((*self.activations, *other.activations))),
            features=self.features or other.features,
            trunk=self.trunk or other.trunk,
            in_flight=tuple(dict.fromkeys((*self.in_flight, *other.in_flight))),
        )


def user_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield all modules with their names in the user's model; those of a bank share one name."""
    waiting = [("", model)]
    while waiting:
        name, module = waiting.pop()
        if isinstance(module, RoutedLayer):
            waiting.extend((name, parallel) for parallel in reversed(module.bank))
            continue
        yield name, module
        if module._modules:
            before = f"{name}." if name else ""
            waiting.extend([(before + own, part) for own, part in module.named_children()][::-1])


@contextmanager
def listening(model: nn.Module, names: Iterable[str], *, inputs: bool = False) -> Iterator[None]:
    """Let the pass that is under way note the outputs, or the first inputs, of named layers.

    Where a module of the model works in place (`nn.ReLU(inplace=True)`), what is noted is copied: it may be next.

    Args:
        model: a network with routed layers in it.
        names: layer names as the user's model has them.
        inputs: note inputs in place of outputs.

    Raises:
        ValueError: a name that the model does not have, or a layer that ran without gradient.
    """
    names = tuple(names)
    modules = _by_name(model, names)
    copying = bool(names) and _works_in_place(model)
    with _connected() as connect, ExitStack() as hooks:
        for name in names:
            for number, module in enumerate(modules[name]):
                hooks.callback(_hook(module, name, number, connect, inputs=inputs, copying=copying).remove)
        yield


def heard(state: ForwardState, name: str, *, inputs: bool = False) -> Pieces:
    """Return rows and tensor of each module of a layer that was listened to; none if no module was called.

    Raises:
        ValueError: a tensor that was changed in place after it was noted.
    """
    noted = state.heard.get((name, inputs), {}).values()
    for _, tensor, before in noted:
        _check_unchanged(name, tensor, before)
    return [(rows, tensor) for rows, tensor, _ in noted]


@contextmanager
def capturing_in_flight(
    model: nn.Module, layers: Sequence[Layer], state: ForwardState
) -> Iterator[Mapping[Layer, Pieces]]:
    """Capture the outputs of layers at their last call in a pass, as they stand in flight.

    Args:
        model: a network with routed layers in it.
        layers: the layers to capture; activations are recognised by the Python module of their class, which has
            `activation` in its name, in `torch.nn` as in other libraries.
        state: the pass that tells which rows a module works on.

    Yields:
        Rows and tensor of each module by layer, filled when the pass has ended; empty for a layer never called.

    Raises:
        ValueError: a name that the model does not have, a layer that ran without gradient, or an output that was
            changed in place afterwards.
    """
    modules = _by_name(model, [name for layer in layers for name in layer.modules])
    found: dict[Layer, Pieces] = {}
    with _connected() as connect, ExitStack() as hooks:
        watch = _Watch(layers, state, connect, copying=bool(layers) and _works_in_place(model))
        for layer in layers:
            for part in (
                part for name in layer.modules for module in modules[name] for part in every_module(module)
            ):
                hooks.callback(part.register_forward_pre_hook(partial(_reach, connect, layer)).remove)
            for module in modules[layer.name]:
                hooks.callback(module.register_forward_pre_hook(partial(watch.begin, layer)).remove)
            for stage, name in enumerate(layer.modules):
                for module in modules[name]:
                    hooks.callback(module.register_forward_hook(partial(watch.write, layer, stage)).remove)
        for module in every_module(model) if any(layer.activated for layer in layers) else ():
            if _is_activation(module):
                hooks.callback(module.register_forward_hook(watch.activate).remove)
        yield found
    found.update({layer: watch.last(layer) for layer in layers})


_Connect = Callable[[str, nn.Module, Tensor | None], None]


@contextmanager
def _connected() -> Iterator[_Connect]:
    """Refuse layers that learn and were captured without gradient, so that nothing would flow back into them.

    So is what runs in activation checkpointing of the reentrant sort: its end alone is in the graph.

    Yields:
        A function that takes the layer's name, a module and what was captured of it; `None` of one whose own
        parameters are to be reached.

    Raises:
        ValueError: such a layer, at the end.
    """
    wanted = torch.is_grad_enabled()
    doubtful: list[tuple[str, nn.Module, Tensor | None]] = []

    def connect(name: str, module: nn.Module, tensor: Tensor | None) -> None:
        if wanted and not torch.is_grad_enabled():
            doubtful.append((name, module, tensor))

    yield connect
    for name, module, tensor in doubtful:
        cut = tensor is None or not tensor.requires_grad
        if cut and any(p.requires_grad for p in module.parameters(recurse=tensor is not None)):
            raise ValueError(
                f"layer {name!r} ran without gradient, and what is learnt from it would not reach it: it is called "
                "inside torch.utils.checkpoint with use_reentrant=True, or inside torch.no_grad(); give "
                "use_reentrant=False, or freeze the layer, layer.requires_grad_(False)"
            )


def _reach(connect: _Connect, layer: Layer, module: nn.Module, args: Any) -> None:
    connect(layer.name, module, None)


class _Watch:
    """The outputs of each module of the layers, and of their activations."""

    def __init__(
        self, layers: Sequence[Layer], state: ForwardState, connect: _Connect, *, copying: bool
    ) -> None:
        self._stages: dict[Layer, list[dict[Rows, tuple[Tensor, int]]]] = {
            layer: [{} for _ in range(len(layer.modules) + 1)] for layer in layers
        }
        self._state = state
        self._connect = connect
        self._copying = copying
        self._open: set[Layer] = set()  # layers whose activation has not been called yet
        self._begun: nn.Module | None = None

    def begin(self, layer: Layer, module: nn.Module, args: Any) -> None:
        """Record that a layer's first module is about to be called."""
        if module is not self._begun:
            self._open.clear()
        self._begun = module
        if layer.activated:
            self._open.add(layer)

    def write(self, layer: Layer, stage: int, module: nn.Module, args: Any, output: Any) -> None:
        """Record a module's output; every row passes all stages, so earlier ones need not be kept."""
        tensor = first_tensor(output)
        if tensor is not None:
            self._connect(layer.name, module, tensor)
            for before in self._stages[layer][:stage]:
                before.clear()
            kept = tensor.clone() if self._copying and not layer.activated else tensor
            self._stages[layer][stage][self._state.rows] = (kept, version(kept))

    def activate(self, module: nn.Module, args: Any, output: Any) -> None:
        """Record an activation's output; one of another size belongs to a gate or a classifier."""
        tensor = first_tensor(output)
        for layer in tuple(self._open):
            latest = [tensor for tensor, _ in self._latest(layer).values()]
            if latest and tensor is not None and tensor.shape[1:] == latest[-1].shape[1:]:
                self.write(layer, -1, module, args, tensor)
                self._open.remove(layer)

    def last(self, layer: Layer) -> Pieces:
        """Return the latest stage that was reached.

        Raises:
            ValueError: an output that was changed in place afterwards.
        """
        latest = self._latest(layer)
        for tensor, before in latest.values() if not layer.activated else ():
            _check_unchanged(layer.name, tensor, before)
        return [(rows, tensor) for rows, (tensor, _) in latest.items()]

    def _latest(self, layer: Layer) -> dict[Rows, tuple[Tensor, int]]:
        return next((stage for stage in reversed(self._stages[layer]) if stage), {})


def modules_called(model: nn.Module, name: str) -> list[nn.Module]:
    """Return all modules of one name in the user's model: one, or those of a bank.

    Raises:
        ValueError: a name that the model does not have.
    """
    return _by_name(model, [name])[name]


def _by_name(model: nn.Module, names: Sequence[str]) -> dict[str, list[nn.Module]]:
    modules: dict[str, list[nn.Module]] = {}
    for name, module in user_modules(model) if names else ():
        modules.setdefault(name, []).append(module)
    check_layers(names, modules, of=next(module for _, module in user_modules(model)))
    return modules


def _is_activation(module: nn.Module) -> bool:
    return "activation" in type(module).__module__ and not isinstance(module, nn.MultiheadAttention)


def _works_in_place(model: nn.Module) -> bool:
    return any(getattr(module, "inplace", False) is True for module in every_module(model))


def _check_unchanged(name: str, tensor: Tensor, before: int) -> None:
    if version(tensor) != before:
        raise ValueError(
            f"what layer {name!r} returns, or gets, is changed in place before the pass ends, and what is learnt "
            "from it would be of something else; write the change as x = x + y in place of x += y, or name the layer "
            "that follows"
        )


def _hook(
    module: nn.Module, name: str, number: int, connect: _Connect, *, inputs: bool, copying: bool
) -> RemovableHandle:
    def note(value: Any) -> None:
        state, tensor = current_state(), first_tensor(value)
        if state is not None and tensor is not None:
            if not torch.compiler.is_compiling():  # compiled code keeps the hooks that it was made with
                connect(name, module, tensor)
            kept = tensor.clone() if copying else tensor
            state.heard.setdefault((name, inputs), {})[number] = (state.rows, kept, version(kept))

    if inputs:
        return module.register_forward_pre_hook(
            lambda _, args, kwargs: note((args, kwargs)), with_kwargs=True
        )
    return module.register_forward_hook(lambda _, args, output: note(output))
