"""The structure of a network: its stem, its blocks, its head, and so where students can part.

It is read from the modules alone, in the order of registration, which is taken for the order of the calls. Three
notions suffice. The *weights* of a module are its parameters of two or more dimensions: a convolution with its norm
has one, a *block* has several. A *stack* is an `nn.Sequential` or `nn.ModuleList` of blocks of one class, or of
smaller stacks. A module with a stack inside is searched further, any other is one piece.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch import nn

from studygroup.routes import Layer

Counts = Callable[[nn.Module], bool]
"""Tells whether a module counts as a part of the one around it."""
_LISTS = (nn.Sequential, nn.ModuleList)
_CUTS = 3  # inner layers that get a classifier: a ResNet of four groups has the ends of three


def blocks(model: nn.Module) -> tuple[Layer, ...]:
    """Return the names of the layers that random routing chooses among: the stem and each repeated block.

    The stem, all layers before the first block, is one tuple of names that travel together. Layers between
    two blocks, such as a down-sampling, travel with the block after them, as a tuple too. What follows the
    last block, above all the head, is left out, as are modules without parameters. A network without repeated
    blocks (a multi-layer perceptron, VGG) is taken layer by layer: each convolution or linear map with its norms.

    Args:
        model: any network; a ResNet-18 gives `(("conv1", "bn1"), "layer1.0", ..., "layer4.1")`.

    Returns:
        Names for `model.get_submodule`, none of which lies inside another.

    Raises:
        ValueError: nothing was found; name the layers by hand.
    """
    layout = _found(model, "layers")
    stem = (layout.stem,) if layout.stem else ()
    return (*stem, *(names[0] if len(names) == 1 else names for names in layout.groups))


def last_group(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the last group of blocks and everything after it, for methods that branch.

    Args:
        model: any network; a ResNet gives `("layer4", "fc")`. Where all blocks form one sequence, as in a
            transformer, the last block is the last group.

    Returns:
        Names for `model.get_submodule`, none of which lies inside another.

    Raises:
        ValueError: nothing was found; name the layers by hand.
    """
    layout = _found(model, "layers")
    last = _stages(model, layout)[-1]
    return (*last, *(name for name in layout.tail if not name.startswith(f"{last[0]}.")))


def first_groups(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the layers after which a network is cut, for methods with classifiers at inner layers.

    These are the ends of the groups of blocks but the last, three at most, evenly spaced. Where all blocks stand
    in one row, as in a transformer, each block is a group.

    Args:
        model: any network; a ResNet gives `("layer1", "layer2", "layer3")`, twelve blocks in a row those numbered
            2, 5 and 8.

    Returns:
        Names for `model.get_submodule`, none of which lies inside another.

    Raises:
        ValueError: there are no two groups to cut between; name the layers by hand.
    """
    ends = [names[-1] for names in _stages(model, _found(model, "inner"))]
    cuts = sorted({math.ceil(len(ends) * part / (_CUTS + 1)) for part in range(1, _CUTS + 1)})
    found = tuple(ends[cut - 1] for cut in cuts if cut < len(ends))
    if not found:
        raise ValueError(_nothing(model, "inner"))
    return found


def block_ends(model: nn.Module) -> tuple[str, ...]:
    """Return the names of all blocks, or of all layers of a network without blocks, from the input to the head.

    Args:
        model: any network; a ResNet-18 gives `("layer1.0", ..., "layer4.1")`.

    Raises:
        ValueError: nothing was found.
    """
    return tuple(names[-1] for names in _in_a_row(_found(model, "inner")))


class _Layout(NamedTuple):
    """A network in order; the block of a group is its last name."""

    stem: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    tail: tuple[str, ...]
    alike: bool = False  # whether the stem is a layer like those of the groups


class _Piece(NamedTuple):
    """A part of a network that is taken as a whole."""

    name: str
    closes: bool  # whether it is a block, which ends a group


def _found(model: nn.Module, argument: str) -> _Layout:
    """Return the stem, the groups and what follows them; the error names the argument to give instead."""
    inner, prefix = unwrapped(model)
    layout = _by_blocks(inner, prefix) or _by_layers(inner, prefix)
    if not layout:
        raise ValueError(_nothing(model, argument))
    return layout


def _nothing(model: nn.Module, argument: str) -> str:
    kind = {"inner": "inner layers"}.get(argument, argument)
    return (
        f"{type(model).__name__} has no {kind} that could be told from its head; name them yourself "
        f"with {argument}=[...], among those that print(sg.layers.suggest(model)) shows"
    )


def _stages(model: nn.Module, layout: _Layout) -> list[tuple[str, ...]]:
    """Return the groups of blocks from input to output, each as the modules that are called for it.

    A group is the outermost module that holds some blocks but not all; if they form one sequence, each is a group. A
    plain list of modules is never called, so its blocks are taken instead.
    """
    if not layout.groups:
        return [layout.stem]
    for depth in range(1, layout.groups[-1][-1].count(".") + 1):
        stages: dict[str, tuple[str, ...]] = {}
        for names in layout.groups:
            stage = ".".join(names[-1].split(".")[:depth])
            stages[stage] = (*stages.get(stage, ()), *names)
        if len(stages) > 1:
            lists = [stage for stage in stages if isinstance(model.get_submodule(stage), nn.ModuleList)]
            return [names if stage in lists else (stage,) for stage, names in stages.items()]
    return _in_a_row(layout)


def _in_a_row(layout: _Layout) -> list[tuple[str, ...]]:
    return [*([layout.stem] if layout.alike else []), *layout.groups]


def _by_blocks(model: nn.Module, prefix: str) -> _Layout | None:
    """Return the layout of a network with repeated blocks."""
    stem: tuple[str, ...] = ()
    groups: list[tuple[str, ...]] = []
    waiting: tuple[str, ...] = ()
    for piece in _pieces(model, prefix, top=True):
        if piece.closes and not groups:
            stem, waiting = waiting, ()
        waiting = (*waiting, piece.name)
        if piece.closes:
            groups.append(waiting)
            waiting = ()
    return _Layout(stem, tuple(groups), waiting) if groups else None


def _by_layers(model: nn.Module, prefix: str) -> _Layout | None:
    """Return the layout of a network without blocks: every module with weights begins a group."""
    *body, (head, _) = parts(model, prefix) or [("", model)]
    groups: list[tuple[str, ...]] = []
    for name, module in body:
        for layer, weighty in _layers(name, module):
            if weighty or not groups:
                groups.append(())
            groups[-1] = (*groups[-1], layer)
    return _Layout(groups[0], tuple(groups[1:]), (head,), alike=True) if groups else None


def _pieces(module: nn.Module, prefix: str, *, top: bool) -> Iterator[_Piece]:
    """Yield the pieces of a module in order; at the top, blocks may also stand side by side as attributes."""
    children = parts(module, prefix)
    kinds = Counter(type(child) for _, child in children)
    for number, (name, child) in enumerate(children):
        if _has_stack(child):
            yield from _pieces(child, f"{name}.", top=False)
        else:
            row = isinstance(module, _LISTS) or (top and kinds[type(child)] > 1)
            is_head = top and number == len(children) - 1
            yield _Piece(name, row and not is_head and _is_block(child))


def _layers(name: str, module: nn.Module) -> Iterator[tuple[str, bool]]:
    """Yield the layers of a plain sequence, otherwise the module itself, each with whether it has weights.

    A `ModuleList` is no layer, for it is never called: its members are.
    """
    if isinstance(module, nn.ModuleList) or (isinstance(module, nn.Sequential) and _weights(module) > 1):
        for inner, child in parts(module, f"{name}."):
            yield from _layers(inner, child)
    else:
        yield name, _weights(module) > 0


def _has_stack(module: nn.Module) -> bool:
    """Tell whether the module is a stack of blocks, or has one at any depth."""
    return _is_stack(module) or any(_has_stack(child) for child in module.children())


def _is_stack(module: nn.Module) -> bool:
    """Tell whether a module lists blocks of one class, with other layers between them if there are several.

    The last condition tells a stack from the inside of a mobile block: convolution, squeeze-and-excitation,
    convolution.
    """
    if not isinstance(module, _LISTS):
        return False
    children = [child for _, child in parts(module, "")]
    found = [child for child in children if _is_block(child)]
    one_class = len({type(child) for child in found}) == 1
    return one_class and (len(found) > 1 or len(found) == len(children))


def _is_block(module: nn.Module) -> bool:
    """Tell whether a module has several weights, in sub-modules, and is more than a sequence of layers."""
    return _weights(module) > 1 and type(module) not in _LISTS and bool(parts(module, ""))


def _weights(module: nn.Module) -> int:
    """Count the parameters with two or more dimensions."""
    return sum(parameter.ndim > 1 for parameter in module.parameters())


def has_parameters(module: nn.Module) -> bool:
    """Tell whether a module has parameters."""
    return any(True for _ in module.parameters())


def parts(module: nn.Module, prefix: str, counts: Counts = has_parameters) -> list[tuple[str, nn.Module]]:
    """Return the children that count, with their full names."""
    return [(prefix + name, child) for name, child in module.named_children() if counts(child)]


def unwrapped(module: nn.Module, prefix: str = "", counts: Counts = has_parameters) -> tuple[nn.Module, str]:
    """Return the outermost module with more than one child that counts, and the prefix of its children's names."""
    while len(found := parts(module, prefix, counts)) == 1 and parts(found[0][1], "", counts):
        prefix, module = f"{found[0][0]}.", found[0][1]
    return module, prefix
