"""Whom to cite: BibTeX of the parts that a task is made of."""

import re

from torch.nn.modules.dropout import _DropoutNd

from studygroup import bibliography
from studygroup._engine.routed import RoutedLayer
from studygroup.task import CollaborativeLearning


def citation(task: CollaborativeLearning) -> str:
    """Return BibTeX entries of the published parts in use, by their first appearance in print.

    Every part names its own source, which need not stand in `bibliography`: objectives, what is asked of the data,
    weights that ramp up, the rescaling of gradients, dropout views. A plain network has none.

    Args:
        task: any task, from a recipe or put together by hand.

    Returns:
        Entries with an empty line between them, or an empty text.
    """
    objectives = list(task.objectives)
    parts = (task.rows, *objectives, *(part.weight for part in objectives))
    sources = {source for part in parts for source in getattr(part, "sources", ())}
    if getattr(task.group, "rescale_gradients", False):
        sources.add(bibliography.SONG_CHAI)
    if any(isinstance(module, RoutedLayer) and _gives_views(module) for module in task.group.modules()):
        sources.add(bibliography.INTRA)
    return "\n\n".join(sorted(sources, key=_appeared))


def _appeared(source: str) -> tuple[int, int, str]:
    """Return the year of an entry, its place among those that the library knows, and itself."""
    year = re.search(r"year\s*=\s*\{(\d+)\}", source)
    known = bibliography.CHRONOLOGICAL
    place = known.index(source) if source in known else len(known)
    return int(year[1]) if year else 9999, place, source


def _gives_views(layer: RoutedLayer) -> bool:
    """Tell whether a routed layer is one dropout, sampled several times."""
    return len(layer.bank) > 1 and isinstance(layer.bank[0], _DropoutNd)
