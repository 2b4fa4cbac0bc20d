"""Error messages for unknown names, with suggestions of similar ones."""

import difflib
from collections.abc import Collection, Iterable


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a suggestion of similar names, see `near`, to append to an unknown name; empty without any."""
    found = near(name, names)
    return f" (near: {', '.join(map(repr, found))})" if found else ""


def near(name: str, names: Iterable[str]) -> list[str]:
    """Return the names that are similar to an unknown one, ignoring case, the most similar first."""
    folded: dict[str, list[str]] = {}
    for one in names:
        folded.setdefault(one.casefold(), []).append(one)
    alike = difflib.get_close_matches(name.casefold(), list(folded), n=3)
    return [one for key in alike for one in folded[key]]


def check_layers(names: Iterable[str], there: Collection[str], *, of: object) -> None:
    """Refuse names of layers that a model does not have.

    Raises:
        ValueError: the model has no layer of one of these names.
    """
    for name in names:
        if name not in there:
            raise ValueError(
                f"{type(of).__name__} has no layer {name!r}{did_you_mean(name, there)}; names are those of "
                "model.named_modules()"
            )
