"""The convolutions that a tensor comes from, recorded while a network runs."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from studygroup.inputs import tensors

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
