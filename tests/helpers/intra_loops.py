"""The intra-model paper's objectives as plain loops over scalars, and a small network to try them on."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import studygroup as sg
from studygroup import functional as sgf
from studygroup.objectives import Layer, Objective, Supervised

ROWS, CLASSES = 5, 7
LABELS = [0, 3, 6, 2, 2]
LAYERS = ("1", "2", "3")


class Masked(nn.Dropout):
    """Dropout that remembers its last mask."""

    def forward(self, x: Tensor) -> Tensor:
        self.mask = F.dropout(torch.ones_like(x), self.p, self.training)
        return x * self.mask


class Net(nn.Module):
    """Three layers of convolution, norm and one activation module for all; three fully connected layers."""

    def __init__(self, *, inplace: bool = False) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)
        self.conv2, self.bn2 = nn.Conv2d(3, 4, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(4)
        self.conv3, self.bn3 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=inplace)
        self.fc = nn.Sequential(
            nn.Linear(4, 6), nn.ReLU(), Masked(0.5), nn.Linear(6, 6), nn.ReLU(), Masked(0.5),
            nn.Linear(6, CLASSES),
        )  # fmt: skip

    def inner(self, x: Tensor) -> list[Tensor]:
        """What the three layers make of a batch."""
        first = self.relu(self.bn1(self.conv1(x)))
        second = self.relu(self.bn2(self.conv2(first)))
        return [first, second, self.relu(self.bn3(self.conv3(second)))]

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.inner(x)[-1].mean((2, 3)))

    def of_layer(self, number: str) -> list[nn.Parameter]:
        """A layer's own parameters."""
        return [p for name, p in self.named_parameters() if name.startswith((f"conv{number}", f"bn{number}"))]


def layers() -> list[Layer]:
    return [Layer((f"conv{number}", f"bn{number}"), activated=True) for number in LAYERS]


def batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    x = torch.randn(ROWS, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return x.to(dtype), torch.tensor(LABELS)


def plain(*parts: Objective, labels: bool = True) -> sg.CollaborativeLearning:
    """One network with objectives inside, in double precision; with the labels' loss, or without it."""
    group = sg.StudyGroup(Net(), sg.routes.independent(students=1))
    return sg.CollaborativeLearning(group, [*([Supervised()] if labels else []), *parts]).double()


def sizes() -> dict[Layer, tuple[int, ...]]:
    group = sg.StudyGroup(Net(), sg.routes.independent(students=1))
    return sg.objectives.shapes(group, batch(torch.float32)[0], layers=layers())


def log_psi(z, temperature: float = 1.0) -> list[Tensor]:
    """log softmax(z / T) of one row, class by class."""
    scaled = [value / temperature for value in z]
    total = torch.log(sum(torch.exp(value) for value in scaled))
    return [value - total for value in scaled]


def cross_entropy(q, log_p) -> Tensor:
    return -sum(a * b for a, b in zip(q, log_p, strict=True))


def psi_of_mean(rows, temperature: float) -> list[Tensor]:
    """ψ of the mean of some answers, without gradient."""
    mean = [sum(values) / len(rows) for values in zip(*rows, strict=True)]
    return [torch.exp(value).detach() for value in log_psi(mean, temperature)]


def out_by_loop(z) -> Tensor:
    """Equation 4 over views z[i][n], mean over rows: 1/K^n Σ_i ½ J_hard + ½ J_soft, T = 2."""
    total = 0
    for i in range(len(z)):
        for n in range(ROWS):
            heard = psi_of_mean([z[j][n] for j in range(len(z)) if j != i], 2.0)
            hard = -log_psi(z[i][n])[LABELS[n]]
            total = total + (0.5 * hard + 0.5 * cross_entropy(heard, log_psi(z[i][n], 2.0))) / ROWS
    return total / len(z)


def mid_by_loop(z, n: int, i: int) -> Tensor:
    """Equation 7 of row n at layer i; z holds the answers of all layers, the network's own the last."""
    heard = psi_of_mean([z[j][n] for j in range(i + 1, len(z))], 2.0)
    own = log_psi(z[i][n], 2.0)
    return -0.05 * own[LABELS[n]] + 0.05 * cross_entropy(heard, own)


def deviations(maps) -> list[list[Tensor]]:
    """z of equation 8: the standard deviation of every channel of every row."""
    found = []
    for row in maps:
        found.append([])
        for channel in row:
            pixels = list(channel.flatten())
            mean = sum(pixels) / len(pixels)
            found[-1].append(torch.sqrt(sum((pixel - mean) ** 2 for pixel in pixels) / len(pixels)))
    return found


def similarity(z) -> list[list[Tensor]]:
    """Equation 8, each row centred over its channels."""
    centred = [[value - sum(row) / len(row) for value in row] for row in z]
    lengths = [torch.sqrt(sum(value**2 for value in row)) for row in centred]
    return [
        [
            sum(a * b for a, b in zip(z_i, z_j, strict=True)) / (l_i * l_j)
            for z_j, l_j in zip(centred, lengths, strict=True)
        ]
        for z_i, l_i in zip(centred, lengths, strict=True)
    ]


def one_hot(labels) -> list[list[Tensor]]:
    return [[torch.tensor(float(c == y), dtype=torch.float64) for c in range(CLASSES)] for y in labels]


def distance(first, second) -> Tensor:
    """The Frobenius norm of a difference."""
    pairs = [
        (a, b) for one, other in zip(first, second, strict=True) for a, b in zip(one, other, strict=True)
    ]
    return torch.sqrt(sum((a - b) ** 2 for a, b in pairs))


def pull_push_of(
    h: Tensor,
    x: Tensor,
    y: Tensor,
    *,
    classes: int = CLASSES,
    pull: float = 1.0,
    push: float = 1.0,
    centre: sgf.Centre = "channels",
    statistic: sgf.Statistic = "deviation",
) -> Tensor:
    """Equation 9 of a representation, by autograd alone."""
    return sgf.pull_push(
        sgf.similarity_matrix(h, centre=centre),
        sgf.label_similarity(y, classes=classes, centre=centre, dtype=h.dtype),
        sgf.similarity_matrix(x, centre=centre, statistic=statistic),
        pull=pull,
        push=push,
    )


def kernel_by_loop(weight: Tensor) -> Tensor:
    """Equation 10."""
    rows = []
    for filter_ in weight:
        values = list(filter_.flatten())
        mean = sum(values) / len(values)
        deviation = torch.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
        rows.append([(value - mean) / deviation for value in values])
    total = 0
    for i, one in enumerate(rows):
        for j, other in enumerate(rows):
            if i != j:
                total = total + (sum(a * b for a, b in zip(one, other, strict=True)) / len(one)) ** 2
    return torch.sqrt(total)


def linear(i: int, start: float, end: float) -> float:
    """The weight of layer i of three."""
    return start + (end - start) * i / 2


def assert_losses(losses: sg.Losses, name: str, total: Tensor) -> None:
    """One objective's value is the loop's, and nothing else is in the total."""
    torch.testing.assert_close(losses.auxiliary[name], total.detach(), atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(losses.total, total, atol=1e-12, rtol=1e-12)


def assert_local(task: sg.CollaborativeLearning, learning, expected) -> None:
    """Those who learn have the expected gradients, up to rounding; all others have none at all."""
    known = {id(p): g for p, g in zip(learning, expected, strict=True)}
    assert len(known) == len(learning)
    for name, parameter in task.named_parameters():
        if id(parameter) in known:
            torch.testing.assert_close(parameter.grad, known[id(parameter)], atol=1e-12, rtol=1e-12)
            assert math.isfinite(parameter.grad.sum().item())
        else:
            assert parameter.grad is None or not parameter.grad.any(), name
