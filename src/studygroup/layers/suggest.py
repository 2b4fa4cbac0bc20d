"""A readable table of where the students of a network can part, and for which method."""

import textwrap
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from studygroup._engine.isolate import without_side_effects
from studygroup.inputs import Inputs, first_tensor
from studygroup.layers.convolutions import convolution_layers
from studygroup.layers.parting import cannot_part, view_dropouts
from studygroup.layers.run import run
from studygroup.layers.structure import block_ends, blocks, first_groups, last_group
from studygroup.layers.tree import Row, rows
from studygroup.routes import Layer

_WIDTH = 110
_LOCAL = "inner of intra (local classifiers)"
_One = TypeVar("_One")


@dataclass(frozen=True)
class Suggestion:
    """The layers at which students can part; `print` it for the table.

    Attributes:
        network: name of the network's class.
        parameters: number of its parameters.
        blocks: names for `layers` of `cgl`.
        branch: names for `layers` of `cl_ilr`, `okddip`, `one` and `pcl`.
        inner: names for `inner` of `auxiliary_training` and `byot`.
        local: names for `inner` of `intra`; empty without an example.
        dropouts: names for `dropouts` of `intra`, and for `routes.hierarchical_dropout`; without an example all that
            drop something.
        cannot_part: reasons, by name, of layers that were tried and at which students cannot part; empty without an
            example.
        rows: rows of the table.
        checked: whether there was an example to try it with.
    """

    network: str
    parameters: int
    blocks: tuple[Layer, ...]
    branch: tuple[str, ...]
    inner: tuple[str, ...]
    local: tuple[str, ...] = ()
    dropouts: tuple[str, ...] = ()
    cannot_part: Mapping[str, str] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    checked: bool = False

    def __str__(self) -> str:
        """Return the tree of modules, what each is for, and the arguments to pass, as text."""
        table = [("module", "class", "parameters", "output", "use")]
        for row in self.rows:
            size = " x ".join(map(str, row.size)) if row.size is not None else ""
            table.append(
                ("  " * row.depth + row.label, row.kind, f"{row.parameters:,}", size, self._use(row))
            )
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(
                text.rjust(width) if number == 2 else text.ljust(width)
                for number, (text, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in table
        ]
        title = f"{self.network}, {self.parameters:,} parameters"
        return "\n".join([title, "", *lines, "", *self._arguments()])

    __repr__ = __str__

    def _use(self, row: Row) -> str:
        """Return what a row's modules are for, or why students cannot part there."""
        uses = {"cgl": _flat(self.blocks), "branch": self.branch, "inner": self.inner, "view": self.dropouts}
        found = []
        for use, names in uses.items():
            own = [name for name in row.names if name in names]
            if own:
                found.append(use if len(own) == len(row.names) else f"{use} ({', '.join(own)})")
        reasons = [self.cannot_part[name] for name in row.names if name in self.cannot_part]
        return ", ".join([*found, f"cannot part: {reasons[0]}"] if reasons else found)

    def _arguments(self) -> list[str]:
        """Return the arguments to pass to each recipe."""
        found = {
            "layers of cgl": self.blocks,
            "layers of cl_ilr, okddip, one, pcl": self.branch,
            "inner of auxiliary_training, byot": self.inner,
            _LOCAL: self.local,
            "dropouts of intra (views)": self.dropouts,
        }
        lines = []
        for use, names in found.items():
            known = self.checked or use != _LOCAL
            said = f"{list(names)}" if names else "none found" if known else "pass example=... to find them"
            lines += textwrap.wrap(f"{use}: {said}", _WIDTH, subsequent_indent="    ", break_on_hyphens=False)
        if not self.checked:
            lines.append("What cannot part, inside residual connections above all, is found with example=...")
        return lines


def suggest(model: nn.Module, example: Inputs | None = None) -> Suggestion:
    """Suggest where students can part: the names to pass as `layers`, `inner` or `dropouts`.

    Without an example this is read from the modules alone. With one, output sizes are measured, and the suggestions
    and the modules inside blocks are tried with two students: where they cannot part, the reason stands beside the
    name.

    Args:
        model: any network; it is left as it is.
        example: one batch, as the model takes it; its first two rows are run, some ten times.

    Returns:
        The names, and a table for `print`. Fields without a suggestion are empty.

    Example:
        >>> print(sg.layers.suggest(model, images))
    """
    found = Suggestion(
        network=type(model).__name__,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        blocks=_found(blocks, model),
        branch=_found(last_group, model),
        inner=_found(first_groups, model),
        dropouts=tuple(name for name, module in model.named_modules() if _drops(module)),
    )
    pieces = (*_flat(found.blocks), *found.branch)
    if example is None:
        return replace(found, rows=rows(model, pieces, {}))
    table = rows(model, pieces, _sizes(model, example))
    views = dict(
        _found(lambda: view_dropouts(model, example).items())
    )  # each with why students cannot part there
    inside = [row.names[0] for row in table if row.inside and row.parameters]
    tried = views | {name: cannot_part(model, [name], example) for name in inside}
    for layers in (found.blocks, found.branch):
        if layers and cannot_part(model, layers, example):
            tried |= {_flat([layer])[-1]: cannot_part(model, [layer], example) for layer in layers}
    convolutions = tuple(layer.convolution for layer in _found(convolution_layers, model, example))
    ends = _found(block_ends, model)
    return replace(
        found,
        local=convolutions if len(convolutions) >= len(ends) else ends,  # a transformer has one, in its stem
        dropouts=tuple(name for name, reason in views.items() if not reason),
        cannot_part={name: reason for name, reason in tried.items() if reason},
        rows=table,
        checked=True,
    )


def _flat(layers: Iterable[Layer]) -> tuple[str, ...]:
    return tuple(name for layer in layers for name in ([layer] if isinstance(layer, str) else layer))


def _drops(module: nn.Module) -> bool:
    return isinstance(module, _DropoutNd) and module.p > 0


def _found(find: Callable[..., Iterable[_One]], *where: Any) -> tuple[_One, ...]:
    """Return the layers found, none where a network has no such layers."""
    try:
        return tuple(find(*where))
    except ValueError:
        return ()


def _sizes(model: nn.Module, example: Inputs) -> dict[str, tuple[int, ...]]:
    """Return the size of every module's output, without the axis of rows."""
    sizes: dict[str, tuple[int, ...]] = {}

    def note(name: str, module: nn.Module, given: Any, output: Any) -> None:
        tensor = first_tensor(output)
        if tensor is not None:
            sizes[name] = tuple(tensor.shape[1:])

    with ExitStack() as hooks, without_side_effects(model, training=False):
        for name, module in model.named_modules():
            hooks.callback(module.register_forward_hook(partial(note, name)).remove)
        run(model, example)
    return sizes
