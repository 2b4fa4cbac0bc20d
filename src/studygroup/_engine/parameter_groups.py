"""What a network says of its parameters to timm's optimisers, in the names of the group that holds its students."""

import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from typing import Any

from torch import nn

from studygroup._engine.routed import RoutedLayer

Ordinal = tuple[float, ...]
_LAST: Ordinal = (float("inf"),)


class ParameterGroups(nn.Module):
    """The base of groups and tasks, which answer timm as the network that they hold does."""

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters that the network excludes from weight decay, those of every student.

        They are what `no_weight_decay()` of the network, or of a network inside it, returns; `timm.optim` asks for
        them.
        """
        return {
            full
            for say, names in _said(self, "no_weight_decay")
            for pattern in say()
            for full, name in names.items()
            if fnmatch(name, pattern)
        }

    def group_matcher(self, coarse: bool = False) -> Callable[[str], Ordinal]:
        """Return a function from a parameter's name to its place among the network's layers, for timm's layer decay.

        Without a `group_matcher` of the network, and outside it, a parameter is in the last layer.

        Args:
            coarse: as for the network's own.
        """
        places: dict[str, Ordinal] = {}
        for say, names in _said(self, "group_matcher"):
            place = _places(say(coarse=coarse))
            places = {full: place(name) for full, name in names.items()} | places
        return lambda name: places.get(name, _LAST)


def _said(module: nn.Module, method: str, prefix: str = "") -> Iterator[tuple[Any, dict[str, str]]]:
    """Yield a method of the user's modules that have it and learn, outermost first.

    With it come the names of the module's parameters: the full name here, and the one that the module knows it by.
    """
    say = None if isinstance(module, ParameterGroups | RoutedLayer) else getattr(module, method, None)
    if callable(say) and any(parameter.requires_grad for parameter in module.parameters()):
        yield say, dict(_names(module, prefix, ""))
    for child, part in module.named_children():
        yield from _said(part, method, f"{prefix}{child}.")


def _names(module: nn.Module, full: str, own: str) -> Iterator[tuple[str, str]]:
    if isinstance(module, RoutedLayer):
        for number, parallel in enumerate(module.bank):
            yield from _names(parallel, f"{full}bank.{number}.", own)
        return
    for name, _ in module.named_parameters(recurse=False):
        yield full + name, own + name
    for child, part in module.named_children():
        yield from _names(part, f"{full}{child}.", f"{own}{child}.")


def _places(matcher: Mapping[str, Any] | Callable[[str], Any]) -> Callable[[str], Ordinal]:
    """Return a function from names to places of a matcher as timm's networks give it.

    Args:
        matcher: for each group a regular expression, or pairs of one and a suffix (or `None`), in the order of the
            layers; or such a function already.
    """
    if callable(matcher):
        return lambda name: tuple(found) if isinstance(found := matcher(name), tuple | list) else (found,)
    rules = [
        (re.compile(pattern), number, suffix or ())
        for number, said in enumerate(matcher.values())
        if said is not None
        for pattern, suffix in ([(said, None)] if isinstance(said, str) else said)
    ]

    def place(name: str) -> Ordinal:
        for pattern, number, suffix in rules:
            if found := pattern.match(name):
                return tuple(float(one) for one in (number, *found.groups(), *suffix) if one is not None)
        return _LAST

    return place
