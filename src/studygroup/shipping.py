"""Which student ships: scores of the students on hold-out rows, and the choice."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor, nn

from studygroup._engine.isolate import without_side_effects
from studygroup.inputs import Inputs, logits, mapped
from studygroup.objectives import Criterion
from studygroup.task import CollaborativeLearning


def best_student(task: CollaborativeLearning, batches: Iterable[Any]) -> int:
    """Return the student to ship: the method's leader, or else the first of those with the best accuracy.

    Args:
        task: its `shipped` group is scored.
        batches: hold-out rows as for `accuracies`; never the test rows, on which what ships is scored.

    Raises:
        ValueError: as `accuracies`.

    Example:
        >>> net = task.shipped.export(sg.best_student(task, holdout_loader))
    """
    return student_to_ship(task, accuracies(task, batches))


def student_to_ship(task: CollaborativeLearning, scores: Sequence[float]) -> int:
    """Return the student that ships by these scores: the method's leader, or else the first of the best.

    Args:
        task: knows whether there is a leader.
        scores: one for each student, more is better.

    Raises:
        ValueError: not one score a student, or one that is not a number.
    """
    leader, given = task.group.routes.leader, list(scores)
    if len(given) != task.group.students or any(math.isnan(one) for one in given):
        raise ValueError(f"scores {given} of {task.group.students} students; hand in one number for each")
    return given.index(max(given)) if leader is None else leader


def accuracies(task: CollaborativeLearning, batches: Iterable[Any]) -> tuple[float, ...]:
    """Return the share of right answers of every student of what ships, in evaluation mode and without side effects.

    Where several processes train, their counts are added: call it in all of them, each with its own rows or each with
    all. Inputs and labels are moved to the device of the parameters, and the host waits once, at the end.

    Args:
        task: its `shipped` group answers.
        batches: tuples of inputs and labels (what follows is ignored), or mappings of inputs with `"labels"`.

    Returns:
        Shares in [0, 1]. An answer that is not a number is wrong; places without a label do not count.

    Raises:
        ValueError: no batch, or labels that are not class indices, of which no share can be right.
    """
    counts = Counts(task)
    with without_side_effects(task.shipped, training=False):
        for batch in batches:
            counts.add(batch)
    return counts.accuracies()


def accuracy_of(network: nn.Module, batches: Iterable[Any], criterion: Criterion) -> float:
    """Return the share of right answers of a plain network, in the mode in which it is, see `accuracies`.

    Raises:
        ValueError: as `accuracies`.
    """
    device = next(network.parameters()).device
    counts = torch.zeros(2, 1, dtype=torch.int64, device=device)
    with torch.no_grad():
        for batch in batches:
            inputs, labels = _moved(_inputs_and_labels(batch), device)
            counts += _counted(criterion, logits(network, inputs)[None], labels)
    return _shares(counts)[0]


class Counts:
    """Right answers of every student of what ships, in the mode in which it is; counted on the device, read once."""

    def __init__(self, task: CollaborativeLearning) -> None:
        self.task, self._device = task, next(task.group.parameters()).device
        self._counts = torch.zeros(2, task.group.students, dtype=torch.int64, device=self._device)

    @torch.no_grad()
    def add(self, batch: Any) -> None:
        """Count a batch, see `accuracies`."""
        inputs, labels = _moved(_inputs_and_labels(batch), self._device)
        self._counts += _counted(self.task.criterion, self.task.shipped(inputs).logits, labels)

    def accuracies(self) -> tuple[float, ...]:
        """Return the share of right answers of every student, over all processes; waits for the device."""
        return _shares(self._counts.clone())


def _shares(counts: Int64[Tensor, "2 students"]) -> tuple[float, ...]:
    """Return shares of right answers from counts of them and of places, summed over all processes, in place."""
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(counts)
    found, places = counts.tolist()
    if not places[0]:
        raise ValueError("there are no labelled rows to score; give hold-out batches that are not empty")
    return tuple(one / of for one, of in zip(found, places, strict=True))


def right(scores: Float[Tensor, "*any classes"], labels: Int64[Tensor, "*labels"]) -> Bool[Tensor, "*any"]:
    """Return which answers are right; never one with a score that is not a number."""
    return (scores.argmax(-1) == labels) & ~scores.isnan().any(-1)


def check_class_indices(labels: Shaped[Tensor, "rows *_"], scores: Float[Tensor, "rows *shape"]) -> None:
    """Refuse labels that are no class indices: answers are then neither right nor wrong.

    Raises:
        ValueError: labels of another kind or shape.
    """
    if labels.is_floating_point() or labels.shape != scores.shape[:-1]:
        raise ValueError(
            f"labels are {labels.dtype} of shape {tuple(labels.shape)} for logits of {tuple(scores.shape)}; "
            "answers are right or wrong where labels are class indices alone: score the students yourself, and hand "
            "the scores to sg.student_to_ship"
        )


def split(batch: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """Return inputs and labels of a mapping; labels are `None` where it has none."""
    return {k: v for k, v in batch.items() if k not in ("labels", "owner")}, batch.get("labels")


def _inputs_and_labels(batch: Any) -> tuple[Inputs, Tensor]:
    """Return inputs and labels of a batch."""
    if isinstance(batch, Mapping) and "labels" in batch:
        return split(batch)
    if isinstance(batch, tuple | list) and len(batch) > 1:
        return batch[0], batch[1]
    raise ValueError(
        f"a batch is a {type(batch).__name__}; give tuples (inputs, labels), or mappings of inputs with 'labels'"
    )


def _counted(
    criterion: Criterion, logits: Float[Tensor, "students rows *shape"], labels: Shaped[Tensor, "rows *_"]
) -> Int64[Tensor, "2 students"]:
    """Return right answers and labelled places of a batch."""
    spread = criterion.spread(logits)
    check_class_indices(labels, spread[0])
    labelled = criterion.labelled(labels)
    there = torch.ones_like(labels, dtype=torch.bool) if labelled is None else labelled
    hits = (right(spread, labels.long()) & there).flatten(1).sum(1)
    return torch.stack([hits, there.sum().expand_as(hits)])


def _moved(value: Any, device: torch.device) -> Any:
    """Move all tensors in a nest of tuples, lists and mappings to a device."""
    return mapped(value, lambda one: one.to(device, non_blocking=True))
