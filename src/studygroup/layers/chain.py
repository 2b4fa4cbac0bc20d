"""Which convolutions a tensor comes from, noted down while a network runs."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from studygroup.layers.run import tensors

Names = frozenset[str]
_PRODUCTS = frozenset({"mul", "mul_", "multiply", "multiply_", "__mul__", "__rmul__", "__imul__"})


class Chain(TorchFunctionMode):
    """While it is entered, every tensor knows the convolutions that it comes from with none in between.

    Attributes:
        before: for every convolution, in the order of the first calls, those right before it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[str, Names] = {}
        self._origins: Any = WeakIdKeyDictionary()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Passes the origins of what goes in on to what comes out."""
        kwargs = kwargs or {}
        product = getattr(func, "__name__", "") in _PRODUCTS
        origins = self._of_product(args) if product else self.origins((args, kwargs))
        result = func(*args, **kwargs)
        self._mark(result, origins)
        return result

    def origins(self, value: Any) -> Names:
        """The convolutions that any of some tensors comes from."""
        return frozenset().union(*(self._origins.get(tensor, ()) for tensor in tensors(value)))

    def called(self, name: str, given: Any, result: Any) -> None:
        """Notes that a convolution was called; a second call changes nothing in the order."""
        self.before.setdefault(name, self.origins(given) - {name})
        self._mark(result, frozenset({name}))

    def passed(self, given: Any, result: Any) -> None:
        """Passes origins through a module whose inside could not be watched, such as compiled code."""
        if not self.origins(result):
            self._mark(result, self.origins(given))

    def longest(self, result: Any) -> tuple[str, ...]:
        """The convolutions on the longest chains from the input to a result, in call order."""
        ends = self.origins(result) or frozenset(self.before)
        depth: dict[str, int] = {}
        for name, before in self.before.items():
            depth[name] = 1 + max((depth[earlier] for earlier in before if earlier in depth), default=0)
        deepest = max((depth[name] for name in ends), default=0)
        kept = {name for name in ends if depth[name] == deepest}
        for name in reversed(self.before):
            if name in kept:
                kept |= {earlier for earlier in self.before[name] if depth[earlier] == depth[name] - 1}
        return tuple(name for name in self.before if name in kept)

    def _mark(self, value: Any, origins: Names) -> None:
        for tensor in tensors(value):
            self._origins[tensor] = origins

    def _of_product(self, factors: Sequence[Any]) -> Names:
        """A factor computed from the other by convolutions is a gate (squeeze and excitation): no chain goes on."""
        found = [self.origins(factor) for factor in factors if isinstance(factor, Tensor)]
        if len(found) == 2 and all(found):
            for one, other in (found, found[::-1]):
                if one < self._all_before(other):
                    return one
        return frozenset().union(*found)

    def _all_before(self, names: Names) -> Names:
        """Some convolutions and all that they come from."""
        reached, waiting = set[str](), list(names)
        while waiting:
            name = waiting.pop()
            if name not in reached:
                reached.add(name)
                waiting += self.before[name]
        return frozenset(reached)
