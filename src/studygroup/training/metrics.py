"""Metrics of torchmetrics for every student and for their ensemble."""

import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from studygroup._engine.ranks import several
from studygroup.training.parts import Part, build_part
from studygroup.training.summary import MetricFigures


def _never() -> bool:
    return False


class GroupMetrics:
    """Metrics that are accumulated over batches, one of each for every student and for the ensemble.

    Args:
        parts: plain values of subclasses of `torchmetrics.Metric`, by name; `num_classes` and `task="multiclass"` are
            given where a class takes them.
        students: number of students.
        classes: number of classes.
        alone: whether this process alone counts; otherwise what all have counted is read, in all of them.

    Raises:
        ValueError: a class that is no metric or refuses its arguments or class probabilities, or whose value is no
            single number.
    """

    def __init__(
        self, parts: Mapping[str, Part], *, students: int, classes: int, alone: bool = False
    ) -> None:
        self._each = {}
        if parts:
            from torchmetrics import Metric

            given = {"num_classes": classes, "task": "multiclass"}
            self._each = {
                name: [build_part(part, f"metrics.{name}", Metric, given=given) for _ in range(students + 1)]
                for name, part in parts.items()
            }
        self._ask_others(_never)
        self._try(students, classes)
        self._ask_others(_never if alone else several)

    def _ask_others(self, whether: Callable[[], bool]) -> None:
        for each in self._each.values():
            for one in each:
                one.distributed_available_fn = whether

    def _try(self, students: int, classes: int) -> None:
        labels = torch.arange(classes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, each in self._each.items():
                try:
                    each[0].update(torch.eye(classes), labels)
                    value = each[0].compute()
                except Exception as error:  # whatever a metric raises
                    raise ValueError(
                        f"metrics.{name} takes no class probabilities (rows, classes) with class indices: {error}"
                    ) from error
                if not isinstance(value, Tensor) or value.numel() != 1:
                    shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                    raise ValueError(
                        f"metrics.{name} gives {shape}; give a metric whose value is one number, such as with "
                        "average='macro'"
                    )
                each[0].reset()

    def higher_is_better(self, name: str) -> bool | None:
        """Tell whether larger values of a metric are better, if it says so."""
        found: bool | None = self._each[name][0].higher_is_better
        return found

    def to(self, device: torch.device) -> "GroupMetrics":
        """Move what is accumulated to a device."""
        for each in self._each.values():
            for one in each:
                one.to(device)
        return self

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Count one batch.

        Args:
            logits: (students, N, classes).
            labels: class indices (N,).
        """
        if not self._each:
            return
        probabilities = logits.float().softmax(-1)
        for each in self._each.values():
            for metric, said in zip(each, [*probabilities, probabilities.mean(0)], strict=True):
                metric.update(said, labels)

    def read(self) -> dict[str, MetricFigures]:
        """Return all values so far by name, and begin anew; waits for the device."""
        found = {}
        for name, each in self._each.items():
            *students, ensemble = (float(one.compute()) for one in each)
            found[name] = MetricFigures(tuple(students), ensemble)
            for one in each:
                one.reset()
        return found
