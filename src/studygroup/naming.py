"""Errors that name what is unknown, with what looks like it."""

import difflib
from collections.abc import Collection, Iterable

from torch import nn


def near(name: str, names: Iterable[str]) -> str:
    """Return a hint at names that look alike, whatever their case, to stand behind a name; empty where none does.

    Args:
        name: that is unknown.
        names: that are known.
    """
    folded: dict[str, list[str]] = {}
    for one in names:
        folded.setdefault(one.casefold(), []).append(one)
    alike = difflib.get_close_matches(name.casefold(), list(folded), n=3)
    found = [one for key in alike for one in folded[key]]
    return f" (near: {', '.join(map(repr, found))})" if found else ""


def check_layers(names: Iterable[str], there: Collection[str], *, of: nn.Module) -> None:
    """Refuses names of layers that a model does not have.

    Args:
        names: of layers.
        there: names of the model's modules.
        of: the model.

    Raises:
        ValueError: one of them is not there.
    """
    for name in names:
        if name not in there:
            raise ValueError(
                f"{type(of).__name__} has no layer {name!r}{near(name, there)}; names are those of "
                "model.named_modules()"
            )
