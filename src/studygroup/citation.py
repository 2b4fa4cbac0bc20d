"""Whom to cite: BibTeX of the parts that a task is made of."""

from studygroup import bibliography
from studygroup.collaborate import CollaborativeLearning


def citation(task: CollaborativeLearning) -> str:
    """BibTeX entries of the published parts in use, by their first appearance in print.

    Every part names its own source: rules, what is asked of the data, auxiliary objectives, the rescaling of
    gradients. A plain network has none.

    Args:
        task: any task, from a recipe or put together by hand.

    Returns:
        Entries with an empty line between them, or an empty text.
    """
    parts = (task.listen, task.rows, *task.auxiliary)
    sources = {source for part in parts for source in getattr(part, "sources", ())}
    if getattr(task.group, "rescale_gradients", False):
        sources.add(bibliography.SONG_CHAI)
    order = bibliography.CHRONOLOGICAL
    return "\n\n".join(sorted(sources, key=order.index))
