"""Parts of one's own that runs are given by import path."""

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger
from PIL import Image
from torch import nn
from torchmetrics import Metric


class Focal(nn.Module):
    """Focal loss, one number a row."""

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits, y):
        log_p = logits.log_softmax(1)
        targets = y if y.is_floating_point() else F.one_hot(y, logits.shape[1])
        return -(targets * (1 - log_p.exp()) ** self.gamma * log_p).sum(1)


class MeanFocal(Focal):
    def forward(self, logits, y):
        return super().forward(logits, y).mean()


class Right(Metric):
    """Share of right answers."""

    def __init__(self) -> None:
        super().__init__()
        self.add_state("hits", torch.zeros(()))
        self.add_state("rows", torch.zeros(()))

    def update(self, said, y):
        self.hits += (said.argmax(1) == y).sum()
        self.rows += len(y)

    def compute(self):
        return self.hits / self.rows


class Wrong(Right):
    """Share of wrong answers."""

    higher_is_better = False

    def compute(self):
        return 1 - self.hits / self.rows


class PerClass(Right):
    def compute(self):
        return self.hits / self.rows * torch.ones(2)


class StopAt(Callback):
    """Ends the training after some epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_validation_end(self, trainer, pl_module):
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs


class Seen(Callback):
    """Keeps what callbacks may watch."""

    seen: list = []  # noqa: RUF012

    def on_validation_end(self, trainer, pl_module):
        self.seen.append({name: float(value) for name, value in trainer.callback_metrics.items()})


class Kept(Logger):
    """Keeps what is logged, by run."""

    runs: list = []  # noqa: RUF012

    def __init__(self, label: str = "") -> None:
        super().__init__()
        self.label, self.lines, self.settings = label, [], {}
        self.runs.append(self)

    name, version = "kept", 0

    def log_metrics(self, metrics, step=None):
        self.lines.append((step, dict(metrics)))

    def log_hyperparams(self, params, *args, **kwargs):
        self.settings = params


BUILT = nn.ReLU()


class Net(nn.Module):
    """A network that takes sizes under names of its own, with random answers in training."""

    def __init__(self, num_classes: int, in_channels: int, width: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x):
        h = F.dropout(self.norm(self.conv1(x)).relu(), 0.2, self.training)
        return self.fc(h.mean((2, 3)))


def make_net(classes: int = 10, **options) -> nn.Module:
    return Net(classes, 3, **options)


def two_too_many(classes: int, channels: int) -> nn.Module:
    return Net(classes + 2, channels)


def no_net() -> str:
    return "net"


class Shapes:
    """Pictures whose class can be seen: one of three corners is bright."""

    classes = ("upper left", "upper right", "lower left")

    def __init__(self, rows: int = 90, *, train: bool = True, kind: str = "tensor") -> None:
        self.rows, self.kind = rows if train else 30, kind
        self.draw = torch.Generator().manual_seed(int(train))
        self.noise = torch.randint(0, 60, (self.rows, 3, 6, 6), generator=self.draw, dtype=torch.uint8)

    def __len__(self):
        return self.rows

    def __getitem__(self, row):
        label = row % 3
        picture = self.noise[row].clone()
        picture[:, 3 * (label == 2) : 3 * (label == 2) + 3, 3 * (label == 1) : 3 * (label == 1) + 3] += 150
        if self.kind == "pil":
            return Image.fromarray(picture.permute(1, 2, 0).numpy()), label
        if self.kind == "array":
            return picture.permute(1, 2, 0).numpy(), torch.tensor(label)
        return (picture.float() if self.kind == "float" else picture), label


class Sentences:
    """Texts in three splits, the test split under the name of the validation split."""

    def __init__(self, split: str) -> None:
        if split not in ("train", "val"):
            raise ValueError(f"there is no split {split}")
        self.rows = [
            (f"{word} number {k}", label) for k in range(8) for label, word in enumerate(("no", "yes"))
        ]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, row):
        return self.rows[row]


def without_test(rows: int = 60) -> Shapes:
    return Shapes(rows)
