"""How good and how different the students are: counted on the device, read once."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from studygroup.functional import disagreement, diversity


@dataclass(frozen=True)
class Scores:
    """Accuracies and diversity of a group on one set of rows.

    Attributes:
        students: share of right answers per student, (students,) numbers in [0, 1].
        ensemble: the same of the mean of the students' class probabilities.
        diversity: mean L2 distance between class probabilities over pairs of students and rows, in [0, sqrt(2)].
        disagreement: share of pairs and rows in which two students name different classes, in [0, 1].
        rows: how many rows were scored.
    """

    students: tuple[float, ...]
    ensemble: float
    diversity: float
    disagreement: float
    rows: int

    @property
    def mean(self) -> float:
        """Mean accuracy over students."""
        return sum(self.students) / len(self.students)

    @property
    def std(self) -> float:
        """Sample standard deviation of the accuracy over students, 0 for one student."""
        if len(self.students) < 2:
            return 0.0
        return float(torch.tensor(self.students, dtype=torch.float64).std())

    @property
    def best(self) -> int:
        """The most accurate student, the first of equals."""
        return self.students.index(max(self.students))


class Tally:
    """Adds up what `Scores` needs without a word from the device until `read`.

    Args:
        students: how many.
        device: where the logits will be.
    """

    def __init__(self, students: int, device: torch.device) -> None:
        # students' right answers, then the ensemble's, the sum of diversities and of disagreements
        self._sums = torch.zeros(
            students + 3, dtype=torch.float64 if device.type != "mps" else None, device=device
        )
        self._rows = 0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Counts one batch.

        Args:
            logits: (students, N, classes).
            labels: class indices (N,).
        """
        rows = len(labels)
        probabilities = logits.float().softmax(-1)
        ensemble = (probabilities.mean(0).argmax(-1) == labels).sum()
        pairs = torch.stack([diversity(probabilities), disagreement(probabilities)]) * rows
        right = (logits.argmax(-1) == labels).sum(1)
        self._sums += torch.cat([right, ensemble[None], pairs])
        self._rows += rows

    def read(self) -> Scores:
        """The scores of all batches so far; waits for the device once."""
        values = (self._sums / max(self._rows, 1)).tolist()
        *students, ensemble, apart, different = values
        return Scores(tuple(students), ensemble, apart, different, self._rows)


@torch.no_grad()
def score(group: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, students: int) -> Scores:
    """Scores a study group, in `eval`, on batches that lie where its parameters lie.

    Args:
        group: returns an object with `.logits` (students, N, classes).
        batches: network inputs and class indices (N,).
        students: how many.
    """
    device = next(group.parameters()).device
    tally, training = Tally(students, device), group.training
    group.eval()
    for inputs, labels in batches:
        tally.add(group(inputs).logits, labels)
    group.train(training)
    return tally.read()


@torch.no_grad()
def accuracy(net: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Share of right answers of one plain network, in `eval`, in [0, 1].

    Args:
        net: returns logits (N, classes).
        batches: network inputs and class indices (N,), where the network's parameters lie.
    """
    training, rows = net.training, 0
    right = torch.zeros((), dtype=torch.int64, device=next(net.parameters()).device)
    net.eval()
    for inputs, labels in batches:
        right += (net(inputs).argmax(-1) == labels).sum()
        rows += len(labels)
    net.train(training)
    return right.item() / max(rows, 1)
