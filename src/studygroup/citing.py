"""Citations of a task: BibTeX entries of its published parts."""

import re

from torch.nn.modules.dropout import _DropoutNd

from studygroup import bibliography
from studygroup._engine.routed import RoutedLayer
from studygroup.task import CollaborativeLearning


def citation(task: CollaborativeLearning) -> str:
    """Return BibTeX entries of the published parts in use, in order of publication.

    Every part names its own source, which need not be in `bibliography`: objectives, the way rows are shared out,
    ramp-up weights, the rescaling of gradients, dropout views. A plain network has none.

    Args:
        task: any task, built by a recipe or by hand.

    Returns:
        Entries separated by an empty line; an empty text without any.
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
    """Return the sort key of an entry: its year, its place among the library's entries, and its text."""
    year = re.search(r"year\s*=\s*\{(\d+)\}", source)
    known = bibliography.CHRONOLOGICAL
    place = known.index(source) if source in known else len(known)
    return int(year[1]) if year else 9999, place, source


def _gives_views(layer: RoutedLayer) -> bool:
    """Tell whether a routed layer is one dropout layer that is sampled several times."""
    return len(layer.bank) > 1 and isinstance(layer.bank[0], _DropoutNd)
