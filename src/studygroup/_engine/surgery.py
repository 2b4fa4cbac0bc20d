"""The surgery that puts routed layers into a network, and extracts one student again."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal

from torch import Tensor, nn

from studygroup._engine.carrying import carry_state
from studygroup._engine.copying import duplicate, surroundings
from studygroup._engine.routed import STUDENT, RoutedLayer
from studygroup.checks import check_kind, shown
from studygroup.naming import check_layers
from studygroup.routes import Routes

Init = Literal["fresh", "copy"] | Callable[[], nn.Module]


_TELLING = 256  # numbers that show a scale: its standard error is a twentieth
_ALIKE = 1.25  # ratio of two scales up to which they may be one
_NAMED = 3  # parameters that a warning names


class FreshInitWarning(UserWarning):
    """Some parameters of the copies start equal to the first module's, or at another scale."""


def install(model: nn.Module, routes: Routes, *, init: Init) -> tuple[nn.Module, dict[str, RoutedLayer]]:
    """Replace every layer that a route table names by a routed layer.

    Args:
        model: changed in place; hand in a copy to keep yours.
        routes: the table.
        init: `"fresh"`, `"copy"`, or a callable that returns a new model, see `StudyGroup`.

    Returns:
        The model (a routed layer itself, where the table routes the whole model) and the routed layers.

    Raises:
        ValueError: a name that matches no layer, two names of one layer, or a parameter that a routed layer
            shares with another.
    """
    named = dict(model.named_modules(remove_duplicate=False))
    check_layers(routes.layers, named, of=model)
    homes = {name: [other for other in named if named[other] is named[name]] for name in routes.layers}
    _check_ties(model, homes)
    banks = _copies(model, routes, init)
    routed = {
        name: RoutedLayer(name, banks[name], row)
        for name, row in zip(routes.layers, routes.table, strict=True)
    }
    for name, places in homes.items():
        for place in places:
            if not place:
                return routed[name], routed
            parent, _, child = place.rpartition(".")
            model.get_submodule(parent)._modules[child] = routed[name]
    return model, routed


def distinct(init: Init, model: nn.Module) -> Init:
    """Return the same `init`, made to refuse a function whose model has no tensor that an earlier one has not.

    The first of these is the model that copies are made of. A part in common, such as a pretrained body under new
    heads, is allowed.

    Raises:
        ValueError: `init` is neither a known word nor a function.
    """
    if isinstance(init, nn.Module) or not (callable(init) or init in ("fresh", "copy")):
        raise ValueError(f"init is {shown(init)}; use 'fresh', 'copy' or a function that returns a new model")
    if not callable(init):
        return init
    there: list[list[Tensor]] = [list(_tensors(model))]  # held, so that no other tensor gets the `id` of one

    def new() -> nn.Module:
        found = check_kind("what init returned", init(), nn.Module, "a function that returns a new model")
        tensors = list(_tensors(found))
        own = set(map(id, tensors))
        if own and any(own <= set(map(id, earlier)) for earlier in there):
            raise ValueError(
                f"init returned the same {type(found).__name__} again, or one with layers of an earlier one, and "
                "students would start equal; return a new model at each call"
            )
        there.append(tensors)
        return found

    return new


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    """Yield all parameters and buffers."""
    yield from model.parameters()
    yield from model.buffers()


def extract(model: nn.Module, *, student: int) -> nn.Module:
    """Return a deep copy of the user's network with one student's modules in place of the routed layers."""
    return duplicate(model, {STUDENT: student})


def _check_ties(model: nn.Module, homes: Mapping[str, list[str]]) -> None:
    """Refuse a parameter both inside and outside a routed layer, and a layer under two routed names."""
    for name, places in homes.items():
        twice = [other for other in homes if other != name and other in places]
        if twice:
            raise ValueError(f"{name!r} and {twice[0]!r} are two names of one layer; name it once")
    where: dict[int, list[str]] = {}
    for parameter, tensor in model.named_parameters(remove_duplicate=False):
        where.setdefault(id(tensor), []).append(parameter)
    for name, places in homes.items():
        inside = tuple(f"{place}." if place else "" for place in places)
        for parameters in where.values():
            outside = [parameter for parameter in parameters if not parameter.startswith(inside)]
            if outside and len(outside) < len(parameters):
                own = next(parameter for parameter in parameters if parameter not in outside)
                raise ValueError(
                    f"parameter {own!r} of routed layer {name!r} is tied to {outside[0]!r}; copies would lose "
                    "the tie. Untie them, or name a layer that holds both"
                )


def _copies(model: nn.Module, routes: Routes, init: Init) -> dict[str, list[nn.Module]]:
    """Build the bank of every routed layer; the first module is the model's own."""
    banks = {name: [model.get_submodule(name)] for name in routes.layers}
    for copies in range(1, max(routes.modules)):
        new = init() if callable(init) else None
        for name, modules in zip(routes.layers, routes.modules, strict=True):
            if copies < modules:
                own = banks[name][0]
                if new is None:
                    banks[name].append(duplicate(own, surroundings(model, own)))
                else:
                    layer = _same(new, own, name)
                    banks[name].append(duplicate(layer, surroundings(new, layer, like=model)))
    if init == "fresh":
        _freshen(banks)
    for bank in banks.values() if init != "copy" else ():
        for drawn in bank[1:]:
            carry_state(bank[0], drawn)
    return banks


def _freshen(banks: Mapping[str, Sequence[nn.Module]]) -> None:
    """Re-initialise all but the first module of each bank; warn of what starts equal to it or at another scale."""
    most = max(map(len, banks.values()))
    drawn = [(name, bank, k) for k in range(1, most) for name, bank in banks.items() if k < len(bank)]
    stubborn: dict[str, None] = {}
    other: dict[str, str] = {}
    for name, bank, k in drawn:
        stubborn |= {f"{name}.{p}".strip("."): None for p in _redraw(bank[k])}
        for p, scales in _rescaled(bank[k], bank[0]).items():
            other.setdefault(f"{name}.{p}".strip("."), scales)
    if stubborn:
        _warn(
            f"could not redraw {', '.join(stubborn)}: the modules that own them have no reset_parameters() that "
            "draws them, so these start equal in all copies"
        )
    if other:
        said = "; ".join(f"{name} ({scales})" for name, scales in islice(other.items(), _NAMED))
        more = f"; and {len(other) - _NAMED} more" if len(other) > _NAMED else ""
        _warn(f"reset_parameters() draws at another scale than the model has: {said}{more}")


def _warn(fact: str) -> None:
    way_out = "pass init=<a function that returns a new model>, or init='copy' if the model is trained"
    warnings.warn(f"{fact}; {way_out}", FreshInitWarning, stacklevel=6)


def _rescaled(drawn: nn.Module, own: nn.Module) -> dict[str, str]:
    """Return the parameters drawn at another scale than the model's own, as far as their sizes tell."""
    said = {}
    for (name, new), old in zip(drawn.named_parameters(), own.parameters(), strict=True):
        if old.is_meta:
            continue
        before, after = (float(tensor.detach().square().mean().sqrt()) for tensor in (old, new))
        low, high = sorted((before, after))
        if high > _ALIKE * low and (low == 0 or new.numel() >= _TELLING):
            said[name] = f"{before:.2g}, and {after:.2g} in copies"
    return said


def _redraw(module: nn.Module) -> list[str]:
    """Draw new parameters with the modules' own methods; return the names of those that these do not draw."""
    stubborn = []
    for name, part in module.named_modules():
        own = dict(part.named_parameters(recurse=False))
        reset = getattr(part, "reset_parameters", None) or getattr(part, "_reset_parameters", None)
        if own and callable(reset):
            before = {parameter: tensor.detach().clone() for parameter, tensor in own.items()}
            reset()
            own = {name: tensor for name, tensor in own.items() if _undrawn(tensor.detach(), before[name])}
        stubborn += [f"{name}.{parameter}".strip(".") for parameter in own]
    return stubborn


def _undrawn(new: Tensor, old: Tensor) -> bool:
    """Tell whether values are as before, though not all one number; a normalised or pruned weight is computed."""
    return not new.is_meta and bool(new.numel() and (new == old).all() and (new != new.flatten()[0]).any())


def _same(new: nn.Module, own: nn.Module, name: str) -> nn.Module:
    """Return the named layer of a new model, if it has the same structure as the model's own."""
    check_layers([name], dict(new.named_modules(remove_duplicate=False)), of=new)
    layer = new.get_submodule(name)
    if type(layer).__name__ != type(own).__name__:  # by name: parametrised modules have a class each
        found = f"is a {type(layer).__name__}, and the model's own a {type(own).__name__}"
    else:
        found = _difference(layer.state_dict(), own.state_dict())
    if not found:
        return layer
    raise ValueError(
        f"init returned a model whose layer {name!r} {found}; return a new model of the same class and sizes, "
        "treated alike (normalised, pruned, extended)"
    )


def _difference(new: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """Say which name or shape differs first between two states; empty if none does."""
    for key in dict.fromkeys((*own, *new)):
        shapes = [tuple(getattr(state[key], "shape", ())) if key in state else None for state in (new, own)]
        if shapes[0] != shapes[1]:
            said = [f"no {key!r}" if shape is None else f"{key!r} of shape {shape}" for shape in shapes]
            return f"has {said[0]}, and the model's own {said[1]}"
    return ""
