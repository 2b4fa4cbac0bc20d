"""What the tests of the recipes share: a tiny network, and softened answers as plain loops over lists of scalars."""

import torch
from torch import Tensor, nn

import studygroup as sg

STUDENTS, ROWS, CLASSES = 3, 5, 7
LABELS = [0, 3, 6, 2, 2]


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, CLASSES))


def batch() -> tuple[Tensor, Tensor]:
    x = torch.randn(ROWS, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return x, torch.tensor(LABELS)


def log_psi(z: Tensor, temperature: float = 1.0) -> list[Tensor]:
    """log softmax(z / T) of one row, class by class."""
    scaled = [value / temperature for value in z]
    total = torch.log(sum(torch.exp(value) for value in scaled))
    return [value - total for value in scaled]


def cross_entropy(log_q: list[Tensor], log_p: list[Tensor]) -> Tensor:
    return -sum(torch.exp(a) * b for a, b in zip(log_q, log_p, strict=True))


def kl(log_q: list[Tensor], log_p: list[Tensor]) -> Tensor:
    return sum(torch.exp(a) * (a - b) for a, b in zip(log_q, log_p, strict=True))


def constant(values: list[Tensor]) -> list[Tensor]:
    return [value.detach() for value in values]


def hard(z: list[Tensor]) -> Tensor:
    """Cross-entropy with the labels, mean over the rows of one student."""
    return sum(-log_psi(z[n])[LABELS[n]] for n in range(ROWS)) / ROWS


CRITERIA = {
    "weights": {"weight": [0.5, 1.0, 3.0, 2.0, 1.0, 0.0, 0.25]},
    "smoothing": {"label_smoothing": 0.3},
    "weights and smoothing": {"weight": [0.5, 1.0, 3.0, 2.0, 1.0, 0.0, 0.25], "label_smoothing": 0.3},
    "rows without a label": {"ignore_index": 2},
}
"""Arguments of `CrossEntropy`; `LABELS` has two rows of class 2."""


def criterion(*, weight=None, **others) -> sg.objectives.CrossEntropy:
    weights = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    return sg.objectives.CrossEntropy(weights, **others)


def hard_by(
    z: list[Tensor], rows: list[int], *, weight=None, label_smoothing=0.0, ignore_index=-100
) -> Tensor:
    """Cross-entropy with the labels of some rows, z[n] of row n, as `nn.CrossEntropyLoss` is documented."""
    weights = weight or [1.0] * CLASSES
    total, divisor = 0, 0
    for n in rows:
        if LABELS[n] == ignore_index:
            continue
        log_p = log_psi(z[n])
        even = sum(-weights[c] * log_p[c] for c in range(CLASSES)) / CLASSES
        own = -weights[LABELS[n]] * log_p[LABELS[n]]
        total = total + (1 - label_smoothing) * own + label_smoothing * even
        divisor += weights[LABELS[n]]
    return total / divisor


def networks(task: sg.CollaborativeLearning) -> list[nn.Module]:
    return [task.group.export(student) for student in range(task.group.students)]


def answers(nets: list[nn.Module], x: Tensor) -> list[list[Tensor]]:
    """Student by student, row by row."""
    return [[net(x[n]) for n in range(ROWS)] for net in nets]


def assert_equal_gradients(
    task: sg.CollaborativeLearning, nets: list[nn.Module], layers: tuple[str, ...], trunk: float = 1.0
) -> None:
    """The group's gradients are those of the separate networks: a branch's own, a shared layer's sum.

    Args:
        task: after backward.
        nets: after backward of the loop's loss.
        layers: names of the layers that each student has for himself; `""` for the whole network.
        trunk: factor on the sum in shared layers.
    """
    for name, _ in nets[0].named_parameters():
        layer, _, kind = name.partition(".")
        expected = [net.get_parameter(name).grad for net in nets]
        if "" in layers:
            own = [getattr(task.group.model.bank[k][int(layer)], kind).grad for k in range(len(nets))]
        elif layer in layers:
            own = [getattr(task.group.model[int(layer)].bank[k], kind).grad for k in range(len(nets))]
        else:
            own = [task.group.model.get_parameter(name).grad]
            expected = [sum(expected) * trunk]
        for a, b in zip(own, expected, strict=True):
            torch.testing.assert_close(a, b)


def assert_all_learn(task: sg.CollaborativeLearning) -> None:
    still = [
        name
        for name, p in task.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    assert still == []


def assert_own_parameters(task: sg.CollaborativeLearning, layers: tuple[str, ...]) -> None:
    """No two students share a tensor in the layers of a branch, and none starts as a copy of another."""
    for layer in layers:
        bank = task.group.model[int(layer)].bank
        weights = [module.weight for module in bank]
        assert len({weight.data_ptr() for weight in weights}) == len(bank) == task.group.students
        assert not any(torch.equal(weights[0], weight) for weight in weights[1:])
