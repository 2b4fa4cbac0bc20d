"""Accuracy and diversity of students, counted on the device and read once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from studygroup._engine.ranks import over_ranks
from studygroup.functional import disagreement, diversity
from studygroup.inputs import Inputs, logits
from studygroup.shipping import right

TOP5_FROM = 20  # classes; with fewer, tables leave top-5 accuracy out: five guesses among ten say little


@dataclass(frozen=True)
class Scores:
    """Accuracies and diversity of a group on one set of rows.

    Attributes:
        students: share of right answers per student, (students,) numbers in [0, 1].
        ensemble: the same for the mean of the students' class probabilities.
        diversity: mean L2 distance between class probabilities over pairs of students and rows, in [0, sqrt(2)].
        disagreement: share of pairs and rows in which two students name different classes, in [0, 1].
        rows: number of rows that were scored.
        students_top5: share of rows per student whose class is among the five likeliest (1 where there are at most
            five).
        ensemble_top5: the same for the mean of the students' class probabilities.
    """

    students: tuple[float, ...]
    ensemble: float
    diversity: float
    disagreement: float
    rows: int
    students_top5: tuple[float, ...]
    ensemble_top5: float

    @property
    def mean(self) -> float:
        """Mean accuracy over students."""
        return sum(self.students) / len(self.students)

    @property
    def mean_top5(self) -> float:
        """Mean of `students_top5`."""
        return sum(self.students_top5) / len(self.students_top5)

    @property
    def std(self) -> float:
        """Sample standard deviation of the accuracy over students, 0 for one student."""
        if len(self.students) < 2:
            return 0.0
        return float(torch.tensor(self.students, dtype=torch.float64).std())


class Tally:
    """Accumulator of what `Scores` needs; nothing is read from the device before `read`.

    Args:
        students: number of students.
        device: the device of the logits.
    """

    def __init__(self, students: int, device: torch.device) -> None:
        # right answers of the students and the ensemble, then those among five, sums of diversities and disagreements
        self._sums = torch.zeros(
            2 * (students + 1) + 2, dtype=torch.float64 if device.type != "mps" else None, device=device
        )
        self._students, self._rows = students, 0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Count one batch.

        Args:
            logits: (students, N, classes).
            labels: class indices (N,).
        """
        rows = len(labels)
        probabilities = logits.float().softmax(-1)
        ensemble = probabilities.mean(0)
        pairs = torch.stack([diversity(probabilities), disagreement(probabilities)]) * rows
        found = [right(scores, labels).sum(-1) for scores in (logits, ensemble)]
        among = [_among_five(scores, labels).sum(-1) for scores in (logits, ensemble)]
        self._sums += torch.cat([found[0], found[1][None], among[0], among[1][None], pairs])
        self._rows += rows

    def gather(self) -> None:
        """Add what all other processes have counted; all of them call it."""
        rows = torch.tensor([self._rows], dtype=self._sums.dtype, device=self._sums.device)
        counted = over_ranks(torch.cat([self._sums, rows]), "sum")
        self._sums, self._rows = counted[:-1], int(counted[-1])

    def read(self) -> Scores:
        """Return the scores of all batches so far; waits for the device once."""
        values = (self._sums / max(self._rows, 1)).tolist()
        *shares, apart, different = values
        right, among = shares[: self._students + 1], shares[self._students + 1 :]
        return Scores(
            students=tuple(right[:-1]),
            ensemble=right[-1],
            diversity=apart,
            disagreement=different,
            rows=self._rows,
            students_top5=tuple(among[:-1]),
            ensemble_top5=among[-1],
        )


def _among_five(scores: Tensor, labels: Tensor) -> Tensor:
    """Tell whether each row's class (N,) is among its five highest scores (..., N, classes); False if one is NaN."""
    likeliest = scores.topk(min(5, scores.shape[-1]), dim=-1, sorted=False).indices
    return (likeliest == labels[:, None]).any(-1) & ~scores.isnan().any(-1)


@torch.no_grad()
def score(
    group: nn.Module,
    batches: Iterable[tuple[Inputs, Tensor]],
    *,
    students: int | None,
    each: Callable[[Tensor, Tensor], None] | None = None,
) -> Scores:
    """Score a study group, in `eval` mode, on batches that lie on the device of its parameters.

    Args:
        group: returns an object with `.logits` (students, N, classes); or a plain network.
        batches: network inputs and class indices (N,).
        students: number of students; None for a plain network, which is scored as a group of one.
        each: called with the logits (students, N, classes), of a plain network (N, classes), and the class indices of
            each batch.
    """
    tally, training = Tally(students or 1, next(group.parameters()).device), group.training
    group.eval()
    try:
        for inputs, labels in batches:
            found: Tensor = logits(group, inputs) if students is None else group(inputs).logits
            if each is not None:
                each(found, labels)
            tally.add(found[None] if students is None else found, labels)
    finally:
        group.train(training)
    return tally.read()


def score_net(
    net: nn.Module,
    batches: Iterable[tuple[Inputs, Tensor]],
    *,
    each: Callable[[Tensor, Tensor], None] | None = None,
) -> Scores:
    """Score one plain network, in `eval` mode, as a group of one student; see `score`."""
    return score(net, batches, students=None, each=each)


def accuracy(net: nn.Module, batches: Iterable[tuple[Inputs, Tensor]]) -> float:
    """Return the share of right answers of one plain network, in `eval` mode, in [0, 1]; see `score_net`."""
    return score_net(net, batches).students[0]
