"""The modules of a network as a readable table that lists repeated parts once."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from studygroup.layers.structure import has_parameters, parts, unwrapped

Sizes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Row:
    """A module, or several consecutive ones of one structure and with outputs of one size.

    Attributes:
        names: names in the model.
        kind: name of the class.
        parameters: number of parameters of all of them together.
        size: size of each one's output, without the axis of rows; `None` where no example was run.
        depth: number of rows that it lies in.
        inside: whether it lies inside a layer that can be routed.
    """

    names: tuple[str, ...]
    kind: str
    parameters: int
    size: tuple[int, ...] | None
    depth: int
    inside: bool

    @property
    def label(self) -> str:
        """The name, or the first and the last."""
        return self.names[0] if len(self.names) == 1 else f"{self.names[0]} to {self.names[-1]}"


def rows(model: nn.Module, pieces: Collection[str], sizes: Sizes) -> tuple[Row, ...]:
    """Return the table: all modules down to given pieces; the parts of equally built pieces are listed once.

    Modules without parameters are left out, except dropouts that drop something.

    Args:
        model: any network.
        pieces: names of layers that are routed as a whole.
        sizes: sizes of outputs, by name.
    """
    return tuple(_Table(pieces, sizes).of(model, "", 0, inside=False))


class _Table:
    """A builder of rows that remembers which structures were shown."""

    def __init__(self, pieces: Collection[str], sizes: Sizes) -> None:
        self.pieces, self.sizes = pieces, sizes
        self.shown: set[str] = set()

    def of(self, module: nn.Module, prefix: str, depth: int, *, inside: bool) -> Iterator[Row]:
        """Yield the rows of a module's parts."""
        for _, group in groupby(_children(module, prefix), key=self._make):
            alike = list(group)
            name, first = alike[0]
            holds = not inside and any(piece.startswith(f"{name}.") for piece in self.pieces)
            new = not inside and not holds and bool(_children(first, "")) and _make(first) not in self.shown
            for some in [[one] for one in alike] if holds else [alike[:1], alike[1:]] if new else [alike]:
                if some:
                    yield self._row(some, depth, inside=inside)
                if some and holds:
                    yield from self.of(some[0][1], f"{some[0][0]}.", depth + 1, inside=False)
                if some and new and some[0][1] is first:
                    self.shown.add(_make(first))
                    within, outer = unwrapped(first, f"{name}.", _counts)
                    yield from self.of(within, outer, depth + 1, inside=True)

    def _make(self, child: tuple[str, nn.Module]) -> tuple[str, tuple[int, ...] | None]:
        return _make(child[1]), self.sizes.get(child[0])

    def _row(self, alike: list[tuple[str, nn.Module]], depth: int, *, inside: bool) -> Row:
        name, first = alike[0]
        return Row(
            names=tuple(name for name, _ in alike),
            kind=type(first).__name__,
            parameters=sum(p.numel() for _, module in alike for p in module.parameters()),
            size=self.sizes.get(name),
            depth=depth,
            inside=inside,
        )


def _counts(module: nn.Module) -> bool:
    """Tell whether a module has parameters, or a dropout that drops something."""
    return has_parameters(module) or any(
        isinstance(inner, _DropoutNd) and inner.p > 0 for inner in module.modules()
    )


_children = partial(parts, counts=_counts)


def _make(module: nn.Module) -> str:
    """Return what identifies a structure: classes and names of all that has parameters, whatever the widths."""
    inner = ", ".join(f"{name}: {_make(child)}" for name, child in _children(module, ""))
    return f"{type(module).__name__}({inner})"
