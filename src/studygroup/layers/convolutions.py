"""The layers of a convolutional network, as the intra-model paper counts them: convolution, norm, activation."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from studygroup._engine.isolate import without_side_effects
from studygroup.inputs import Inputs, tensors
from studygroup.layers.run import run

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class ConvLayer:
    """A convolution with the norm and activation that are called on its own output.

    Attributes:
        convolution: its name in the model.
        norm: name of the norm that is called on the convolution's output, if there is one.
        activation: name of the activation that is called on the norm's output (or the convolution's), if it is a
            module and nothing, such as the sum of a residual block, comes before it. Other layers may call the same
            module, and an `inplace` one changes the norm's output.
        space: size of the convolution's output, (height, width) for pictures.
    """

    convolution: str
    norm: str | None
    activation: str | None
    space: tuple[int, ...]


def convolution_layers(model: nn.Module, example: Inputs) -> tuple[ConvLayer, ...]:
    """Find the convolutions on the longest path from input to output, with their norms, in call order.

    The longest path is the one with the most convolutions; all paths of that length count. So shortcuts are left out
    (the 1x1 convolutions beside residual blocks), and gates too (squeeze and excitation), whose factor is computed
    from what it multiplies. A convolution with no linear map after it is the classifier and left out as well.
    ResNet-18 has 17 such layers, ResNet-101 has 100 (the 1x1 convolutions of a bottleneck count), VGG-16 has 13.

    Args:
        model: any network with `nn.Conv1d` to `nn.Conv3d`; found by a dry run in evaluation, without side effects.
        example: one batch, as the model takes it; its first two rows are run.

    Raises:
        ValueError: no such convolution is called; name layers of another kind yourself.
    """
    watch = _Watch()
    with ExitStack() as hooks, without_side_effects(model, training=False):
        for name, module in model.named_modules():
            before, after = partial(watch.before, name), partial(watch.after, name)
            hooks.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
            hooks.callback(module.register_forward_hook(after, with_kwargs=True).remove)
        with watch.chain:
            output = run(model, example)
    found = [name for name in watch.chain.longest(output) if name != watch.last]
    if not found:
        raise ValueError(
            f"{type(model).__name__} calls no nn.Conv1d, nn.Conv2d or nn.Conv3d before its classifier; name the "
            "layers yourself, such as the blocks of a transformer"
        )
    return tuple(watch.layers[name] for name in found)


def convolution_groups(layers: Sequence[ConvLayer]) -> tuple[tuple[ConvLayer, ...], ...]:
    """Group consecutive layers with outputs of one size: five groups in VGG-16, four in a CIFAR ResNet-18.

    Args:
        layers: the layers in call order.
    """
    return tuple(tuple(group) for _, group in groupby(layers, key=lambda layer: layer.space))


class _Watch:
    """Watch convolutions, and the norms and activations that are called on their unchanged outputs."""

    def __init__(self) -> None:
        self.chain = Chain()
        self.layers: dict[str, ConvLayer] = {}
        self.last = ""  # the last convolution or linear map that was called
        # tensor -> its convolution, and how often the tensor had been changed
        self._made: Any = WeakIdKeyDictionary()
        self._norms: dict[nn.Module, str] = {}

    def before(self, name: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        """Record, before a module is called, whether it is the norm or the activation of a convolution."""
        first = next(tensors((args, kwargs)), None)
        convolution, version = self._made.get(first, ("", -1)) if first is not None else ("", -1)
        if first is None or first._version != version:
            return
        layer = self.layers[convolution]
        if _is_norm(module) and layer.norm is None and layer.activation is None:
            self.layers[convolution] = replace(layer, norm=name)
            self._norms[module] = convolution
        elif "activation" in type(module).__module__ and layer.activation is None:
            self.layers[convolution] = replace(layer, activation=name)

    def after(self, name: str, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        """Record a module's output."""
        if isinstance(module, (*_CONVOLUTIONS, nn.Linear)):
            self.last = name
        if isinstance(module, _CONVOLUTIONS):
            self.chain.called(name, (args, kwargs), output)
            space = tuple(output.shape[2:])
            self.layers.setdefault(name, ConvLayer(name, norm=None, activation=None, space=space))
            self._made[output] = (name, output._version)
        elif module in self._norms:
            self._made[output] = (self._norms.pop(module), output._version)
        else:
            self.chain.passed((args, kwargs), output)


def _is_norm(module: nn.Module) -> bool:
    """Tell a norm by its class's name, since libraries have their own; a block with a norm inside is none."""
    weights = any(isinstance(inner, (*_CONVOLUTIONS, nn.Linear)) for inner in module.modules())
    return "norm" in type(module).__name__.lower() and not weights


_Calls = frozenset[int]
_PRODUCTS = frozenset({"mul", "mul_", "multiply", "multiply_", "__mul__", "__rmul__", "__imul__"})


class Chain(TorchFunctionMode):
    """Record for every tensor, while entered, the convolution calls that it directly comes from."""

    def __init__(self) -> None:
        super().__init__()
        self._names: list[str] = []  # of each call
        self._before: list[_Calls] = []  # the calls right before each call
        self._origins: Any = WeakIdKeyDictionary()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Pass the origins of the inputs on to the outputs."""
        kwargs = kwargs or {}
        product = getattr(func, "__name__", "") in _PRODUCTS
        origins = self._of_product(args) if product else self._of((args, kwargs))
        result = func(*args, **kwargs)
        self._mark(result, origins)
        return result

    def called(self, name: str, given: Any, result: Any) -> None:
        """Record a call of a convolution."""
        self._names.append(name)
        self._before.append(self._of(given))
        self._mark(result, frozenset({len(self._names) - 1}))

    def passed(self, given: Any, result: Any) -> None:
        """Pass origins through a module whose inside cannot be watched, such as compiled code."""
        if not self._of(result):
            self._mark(result, self._of(given))

    def longest(self, result: Any) -> tuple[str, ...]:
        """Name the convolutions on the longest chains from input to result, in the order of their first calls."""
        ends = self._of(result) or frozenset(range(len(self._names)))
        depth: list[int] = []
        for before in self._before:
            depth.append(1 + max((depth[call] for call in before), default=0))
        deepest = max((depth[call] for call in ends), default=0)
        kept = {call for call in ends if depth[call] == deepest}
        for call in reversed(range(len(depth))):
            if call in kept:
                kept |= {earlier for earlier in self._before[call] if depth[earlier] == depth[call] - 1}
        return tuple(dict.fromkeys(self._names[call] for call in sorted(kept)))

    def _of(self, value: Any) -> _Calls:
        """Return the calls that any of some tensors comes from."""
        return frozenset().union(*(self._origins.get(tensor, ()) for tensor in tensors(value)))

    def _mark(self, value: Any, origins: _Calls) -> None:
        for tensor in tensors(value):
            self._origins[tensor] = origins

    def _of_product(self, factors: Sequence[Any]) -> _Calls:
        """Return the calls behind a product; a factor computed from the other is a gate, which ends a chain."""
        found = [self._of(factor) for factor in factors if isinstance(factor, Tensor)]
        if len(found) == 2 and all(found):
            for one, other in (found, found[::-1]):
                if one < self._all_before(other):
                    return one
        return frozenset().union(*found)

    def _all_before(self, calls: _Calls) -> _Calls:
        """Return some calls and all that they come from."""
        reached, waiting = set[int](), list(calls)
        while waiting:
            call = waiting.pop()
            if call not in reached:
                reached.add(call)
                waiting += self._before[call]
        return frozenset(reached)
