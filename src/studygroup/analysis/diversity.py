"""Diversity of the students' answers (CGL, table 6)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from studygroup.analysis.answers import Batches, summed
from studygroup.analysis.base import Found, LoadedNetworks, OfNetworks
from studygroup.analysis.pairs import over_pairs, pair_table, pairs_of, symmetric
from studygroup.functional import disagreement, diversity


def pairwise_diversity(students: Sequence[nn.Module], batches: Batches) -> Tensor:
    """Return the pairwise diversity of students, in evaluation, at temperature 1.

    Args:
        students: two or more networks of any architectures.
        batches: the rows.

    Returns:
        Two matrices (2, students, students): the mean L2 distance of class probabilities, in [0, √2], see
        `functional.diversity`, and the share of rows on which the two predict different classes, in [0, 1].

    Raises:
        ValueError: one student, no rows, or logits that are not finite.
    """
    pairs = pairs_of(len(students))

    def figures(logits: Tensor, labels: Tensor) -> Tensor:
        probabilities = logits.softmax(-1)
        found = [torch.stack([f(probabilities[list(p)]) for p in pairs]) for f in (diversity, disagreement)]
        return torch.stack(found) * len(labels)

    mean = summed(students, batches, figures).finite().mean
    return torch.stack([symmetric(values, len(students), own=0.0) for values in mean])


@dataclass(frozen=True, kw_only=True)
class Diversity(OfNetworks):
    """Diversity of the students' answers: L2 distance of class probabilities, and disagreement.

    Attributes:
        split: rows to evaluate: those of the test set, or those held out of training.
        rows: number of rows to take, each class in proportion, always the same; omitted, all.
    """

    def evaluate(self, networks: LoadedNetworks) -> Found:
        """Return the mean over pairs and the matrix, of both measures."""
        distance, different = pairwise_diversity(networks.students(), networks.batches)
        return {
            "diversity": over_pairs(distance),
            "disagreement": over_pairs(different),
            "distances": distance.tolist(),
            "disagreements": different.tolist(),
        }

    def table(self, found: Found) -> Sequence[tuple[str, ...]]:
        """Return the distances of all pairs, then the means."""
        students = len(found["distances"])
        ends = [
            ("mean over pairs", f"{found['diversity']:.3f}"),
            ("disagreement", f"{found['disagreement']:.2%}"),
        ]
        return [
            *pair_table(found["distances"], head="L2 distance"),
            *((*end, *[""] * (students - 1)) for end in ends),
        ]
