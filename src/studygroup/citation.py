"""Whom to cite: BibTeX of the parts that a task is made of."""

from torch.nn.modules.dropout import _DropoutNd

from studygroup import bibliography
from studygroup.auxiliary import Auxiliary
from studygroup.branching import RoutedLayer
from studygroup.collaborate import CollaborativeLearning


def citation(task: CollaborativeLearning) -> str:
    """BibTeX entries of the published parts in use, by their first appearance in print.

    Every part names its own source: rules, what is asked of the data, auxiliary objectives, weights that ramp up, the
    rescaling of gradients, dropout views. A plain network has none.

    Args:
        task: any task, from a recipe or put together by hand.

    Returns:
        Entries with an empty line between them, or an empty text.
    """
    weights = (task.supervised_weight, task.imitation_weight, task.ensemble_weight)
    own = [part.weight for part in task.auxiliary if isinstance(part, Auxiliary)]
    parts = (task.listen, task.rows, *task.auxiliary, *weights, *own)
    sources = {source for part in parts for source in getattr(part, "sources", ())}
    if getattr(task.group, "rescale_gradients", False):
        sources.add(bibliography.SONG_CHAI)
    if any(isinstance(module, RoutedLayer) and _gives_views(module) for module in task.group.modules()):
        sources.add(bibliography.INTRA)
    order = bibliography.CHRONOLOGICAL
    return "\n\n".join(sorted(sources, key=order.index))


def _gives_views(layer: RoutedLayer) -> bool:
    """Whether a routed layer is one dropout, sampled several times."""
    return len(layer.bank) > 1 and isinstance(layer.bank[0], _DropoutNd)
