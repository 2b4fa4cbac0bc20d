"""Networks of one's own, by the import path of a class or function."""

from typing import Any

from torch import nn

from studygroup.importing import call_own, own_factory, taken

_NAMES = {
    "classes": ("classes", "num_classes", "num_labels"),
    "channels": ("channels", "in_channels", "in_chans"),
    "vocabulary": ("vocabulary", "vocab_size"),
    "padding": ("padding", "pad_token_id"),
}
"""The names under which sizes of the data are given to a network, where it has an argument of that name."""


def own_network(path: str, classes: int, **options: Any) -> nn.Module:
    """Build a network of one's own.

    Args:
        path: import path of a class or of a function that returns a network.
        classes: how many classes; given as `classes`, `num_classes` or `num_labels`, where it takes one of them.
        **options: its arguments. `channels`, `vocabulary` and `padding` are given under the names that it has for
            them, and left out where it has none.

    Raises:
        ValueError: it cannot be imported, refuses its arguments, or is no network.
    """
    what = f"network {path!r}"
    make = own_factory(path, what="network")
    there = taken(make)
    arguments = dict(options)
    for size, names in _NAMES.items():
        value = classes if size == "classes" else arguments.pop(size, None)
        name = next((one for one in names if one in there), None)
        if name is not None and value is not None:
            arguments.setdefault(name, value)
    network = call_own(make, arguments, what=what)
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"{what} returns a {type(network).__name__}; give a class or a function that returns an nn.Module"
        )
    return network
