"""Parts of one's own that runs are given by import path."""

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger
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
