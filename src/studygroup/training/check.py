"""Check a training before it runs: configuration, data, one step, and how long all of it will take."""

import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from studygroup.data import Batch, Data
from studygroup.task import CollaborativeLearning
from studygroup.training.checkpoints import newest_of_run
from studygroup.training.computing import computing
from studygroup.training.datamodule import DataModule
from studygroup.training.folder import RunFolder
from studygroup.training.half import settled
from studygroup.training.run import check_folder, default_folder, plain_beside
from studygroup.training.settings import Settings
from studygroup.training.step_cost import autocast, totals

_SECONDS = 3.0  # of measured steps of a method
_FEWEST, _MOST = 3, 50  # measured steps


@dataclass(frozen=True)
class Pace:
    """How long the parts of a training take, as measured.

    Attributes:
        recipe: short name of the method.
        epochs: epochs that are left to train.
        updates: updates of an epoch.
        steps: seconds of each measured update, loading of its rows included, without the first.
        scored: seconds of scoring one batch of hold-out rows.
        batches: batches of hold-out rows, scored after every epoch.
        loss: total loss of the first update.
    """

    recipe: str
    epochs: int
    updates: int
    steps: tuple[float, ...]
    scored: float
    batches: int
    loss: float

    def seconds(self, step: float) -> float:
        """Return the seconds of the training where every update takes `step` seconds."""
        return self.epochs * (self.updates * step + self.batches * self.scored)


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        folder: where the run would go; nothing was written there.
        data: the data set.
        device: where the steps were measured.
        paces: of the method and, where it is trained beside it, of the plain network.
    """

    folder: Path
    data: Data
    device: torch.device
    paces: tuple[Pace, ...]

    @property
    def seconds(self) -> tuple[float, float, float]:
        """Seconds of the training: by the median of the measured steps, by the fastest and by the slowest.

        Without what is done once: opening data, checkpoints, and scoring the test rows.
        """
        return tuple(  # type: ignore[return-value]
            sum(pace.seconds(of(pace.steps)) for pace in self.paces) for of in (statistics.median, min, max)
        )


def check(settings: Settings, *, run_dir: str | Path | None = None, resume: bool = False) -> Checked:
    """Check configuration, folder, data, and a few steps of a training: forward, backward, update, a scored batch.

    Arguments are those of `train`. Nothing is written into the run folder, and what is trained is thrown away.

    Raises:
        ValueError: what `train` would raise before its second epoch, or the loss is not finite.
    """
    folder = RunFolder(Path(run_dir) if run_dir is not None else default_folder(settings))
    check_folder(folder, settings.config(), resume=resume)
    _check_writable(folder.path)
    settings.check_here()
    data = settings.load_data()
    settings = settled(settings, data, folder)
    device = settings.device
    plain = plain_beside(settings)
    with computing(settings):
        paces = [_measured(settings, data, device, folder)]
        paces += [] if plain is None else [_measured(plain, data, device, folder.baseline)]
    return Checked(folder.path, data, device, tuple(paces))


def _check_writable(folder: Path) -> None:
    """Refuse a folder in which nothing can be written, without writing there."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ValueError(
            f"{folder} cannot be written: {there} is no folder, or is read-only; give another --run_dir"
        )


def _measured(settings: Settings, data: Data, device: torch.device, folder: RunFolder) -> Pace:
    """Train some steps and score a batch."""
    task = settings.build_task(data)
    own = {f"task.{name}": value for name, value in task.state_dict().items()}
    found = newest_of_run(folder.checkpoints, settings.config(), own)
    task, datamodule = task.to(device).train(), settings.build_datamodule(data).to(device)
    optimizer = settings.optimizer([p for p in task.parameters() if p.requires_grad])
    losses: list[float] = []
    times: list[float] = []
    batches = _batches(datamodule, task)
    while len(times) <= _FEWEST or (sum(times[1:]) < _SECONDS and len(times) <= _MOST):
        start = time.perf_counter()
        losses.append(_step(settings, task, datamodule, optimizer, next(batches).to(device)))
        times.append(time.perf_counter() - start)
        if not torch.isfinite(torch.tensor(losses[-1])):
            raise ValueError(
                f"the loss of {settings.method_name} is {losses[-1]} at update {len(losses)}; try a lower learning "
                "rate (--optimizer.lr), --gradient_clip_val 1, or --precision 32-true if it was lower"
            )
    start = time.perf_counter()
    held = next(iter(datamodule.evaluation_loader(data.holdout))).to(device)
    with torch.no_grad(), autocast(settings, device):
        task.eval().shipped(datamodule.inputs(held.inputs)).logits.sum().item()  # waits for the device
    return Pace(
        recipe=settings.method_name,
        epochs=settings.epochs - (found.epoch + 1 if found else 0),
        updates=len(datamodule.training_batches(task, epoch=0)),
        steps=tuple(times[1:]),
        scored=time.perf_counter() - start,
        batches=len(datamodule.evaluation_loader(data.holdout)),
        loss=losses[0],
    )


def _batches(datamodule: DataModule, task: CollaborativeLearning) -> Iterator[Batch]:
    """Yield training batches, of epoch after epoch."""
    epoch = 0
    while True:
        yield from datamodule.training_batches(task, epoch=epoch)
        epoch += 1


def _step(
    settings: Settings,
    task: CollaborativeLearning,
    datamodule: DataModule,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
) -> float:
    """Make one update and return its loss; waits for the device."""
    loss = 0.0
    inputs, labels = datamodule.training_rows(batch, step=task.step)
    for total in totals(settings, task, inputs, labels, owner=batch.owner, progress=0.0):
        optimizer.zero_grad()
        torch.autograd.backward(total)
        if settings.gradient_clip_val is not None:
            nn.utils.clip_grad_norm_(task.parameters(), settings.gradient_clip_val)
        optimizer.step()
        loss += float(total.detach())
    return loss


def describe_check(checked: Checked) -> str:
    """Return the text of a check: data, steps, and the time that the training will take."""
    data = checked.data
    lines = [
        f"nothing is wrong, and nothing was written; the run would go to {checked.folder}",
        f"data: {data.name}, {len(data.train)} rows to train on, {len(data.holdout)} held out, {len(data.test)} to "
        f"test on, {len(data.classes)} classes",
    ]
    for pace in checked.paces:
        middle, low, high = (1e3 * of(pace.steps) for of in (statistics.median, min, max))
        lines.append(
            f"{pace.recipe}: {pace.epochs} epochs of {pace.updates} updates, {middle:.3g} ms each ({low:.3g} to "
            f"{high:.3g}, n = {len(pace.steps)}) on {checked.device}; the first loss is {pace.loss:.4g}"
        )
    about, least, most = map(_spoken, checked.seconds)
    lines.append(
        f"training will take about {about} ({least} to {most}, by the fastest and the slowest of these steps), and a "
        "little more for checkpoints and the test rows"
    )
    return "\n".join(lines)


def _spoken(seconds: float) -> str:
    """Return a time in the largest unit of which there are two."""
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"
