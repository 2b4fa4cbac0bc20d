"""A classifier that students share although they part before it."""

import warnings
from collections.abc import Iterable

from studygroup._engine.routed import RoutedLayer
from studygroup.routes import Routes


class SharedHeadWarning(UserWarning):
    """Students part before the classifier but share the classifier itself."""


def warn_of_shared_head(head: str, layers: Iterable[RoutedLayer], routes: Routes) -> None:
    """Warn where students have modules of their own and not the classifier.

    Args:
        head: name of the classifier.
        layers: the routed layers.
        routes: which module each student takes.
    """
    apart = any(layer.has_state and len(set(layer.choice)) > 1 for layer in layers)
    routed = any(not name or f"{head}.".startswith(f"{name}.") for name in routes.layers)
    if apart and not routed:
        warnings.warn(
            f"students part before the classifier {head!r} but share it; route it too, or say share_head=True",
            SharedHeadWarning,
            stacklevel=6,
        )
