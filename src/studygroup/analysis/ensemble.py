"""The ensemble of all students: the mean of their class probabilities against each single student."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from studygroup.analysis.answers import Batches, fit_of, summed
from studygroup.analysis.base import Found, LoadedNetworks, OfNetworks
from studygroup.shipping import right


@dataclass(frozen=True)
class EnsembleAccuracy:
    """Accuracies in [0, 1].

    Attributes:
        students: accuracy of each student.
        ensemble: accuracy of the mean of their class probabilities.
        any: share of rows that at least one student classifies correctly: no choice among them does better.
        all: share of rows that all students classify correctly.
    """

    students: tuple[float, ...]
    ensemble: float
    any: float
    all: float

    @property
    def mean(self) -> float:
        """The students' mean accuracy."""
        return sum(self.students) / len(self.students)


def ensemble_accuracy(students: Sequence[nn.Module], batches: Batches) -> EnsembleAccuracy:
    """Score students one by one and as an ensemble.

    Args:
        students: networks of any architectures.
        batches: the rows.

    Raises:
        ValueError: no rows, or logits that are not finite.
    """

    def figures(logits: Tensor, labels: Tensor) -> Tensor:
        each = right(logits, labels)
        group = right(logits.softmax(-1).mean(0), labels)
        return torch.cat([each, torch.stack([group, each.any(0), each.all(0)])]).sum(-1)

    *each, ensemble, some, every = summed(students, batches, figures).finite().mean.tolist()
    return EnsembleAccuracy(tuple(each), ensemble, some, every)


@dataclass(frozen=True, kw_only=True)
class Ensemble(OfNetworks):
    """The mean of all students' class probabilities against the single students and the one that ships.

    Attributes:
        split: rows to evaluate: those of the test set, or those held out of training.
        rows: number of rows to take, each class in proportion, always the same; omitted, all.
    """

    def evaluate(self, networks: LoadedNetworks) -> Found:
        """Return accuracies, and what the ensemble gains in points."""
        found = ensemble_accuracy(networks.students(), networks.batches)
        shipped = float(fit_of(networks.shipped, networks.batches).finite().mean[1])
        others = {"mean": found.mean, "best": max(found.students), "shipped": shipped}
        return {
            "students": list(found.students),
            **others,
            "ensemble": found.ensemble,
            "any": found.any,
            "all": found.all,
            "student": networks.student,
            "gain": {name: 100 * (found.ensemble - accuracy) for name, accuracy in others.items()},
        }

    def table(self, found: Found) -> Sequence[tuple[str, ...]]:
        """Return accuracies, and how far the ensemble is above them."""
        gain = found["gain"]
        return [
            ("", "accuracy", "ensemble's gain, points"),
            *((f"student {k}", f"{accuracy:.2%}", "") for k, accuracy in enumerate(found["students"])),
            ("mean of students", f"{found['mean']:.2%}", f"{gain['mean']:+.2f}"),
            ("best student", f"{found['best']:.2%}", f"{gain['best']:+.2f}"),
            (f"shipped: student {found['student']}", f"{found['shipped']:.2%}", f"{gain['shipped']:+.2f}"),
            ("ensemble", f"{found['ensemble']:.2%}", ""),
            ("any student right", f"{found['any']:.2%}", ""),
            ("all students right", f"{found['all']:.2%}", ""),
        ]
