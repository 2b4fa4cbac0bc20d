"""A method's training on real pictures; the student is chosen on hold-out rows and scored on test rows."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

import studygroup as sg
from reproduction.gpu.budget import Clock, OutOfTimeError
from reproduction.gpu.methods import Make, owners
from reproduction.gpu.network import Network
from reproduction.gpu.pictures import Pictures, crop_and_flip
from reproduction.gpu.step import autocast, of_task, updates, wait

_SCORED = 1000  # rows at once


@dataclass(frozen=True)
class Descent:
    """An optimiser and its learning rate over training; by default the CGL paper's.

    Attributes:
        optimiser: takes parameters and `lr`.
        rate: initial learning rate.
        factor: multiplies the rate at every milestone.
        milestones: shares of training; 60, 120 and 160 of the 200 epochs of the CGL paper.
    """

    optimiser: Callable[..., Optimizer] = torch.optim.Adam
    rate: float = 1e-3
    factor: float = 0.5
    milestones: tuple[float, ...] = (0.3, 0.6, 0.8)

    def at(self, share: float) -> float:
        """Return the learning rate at a share of training."""
        return self.rate * self.factor ** sum(share >= milestone for milestone in self.milestones)


@dataclass(frozen=True)
class Recipe:
    """The settings that all methods of a comparison share.

    Attributes:
        rows: of a step, all students together.
        dtype: of autocast; `torch.float32` for none.
        seed: of weights, orders, sub-sets and augmentation.
        descent: optimiser and learning rate.
    """

    rows: int
    dtype: torch.dtype = torch.bfloat16
    seed: int = 0
    descent: Descent = Descent()


class Run:
    """One method on one device, from initialisation on.

    Args:
        make: build the task, as one of `METHODS` does.
        network: the network to train.
        pictures: on the device.
        recipe: the settings that all methods share.
    """

    def __init__(self, make: Make, network: Network, pictures: Pictures, recipe: Recipe) -> None:
        self.pictures, self.recipe = pictures, recipe
        self.device = pictures.images["train"].device
        torch.manual_seed(recipe.seed)
        task = make(network).to(self.device)
        self.task: sg.CollaborativeLearning = task.to(memory_format=torch.channels_last).train()
        learning = [p for p in self.task.parameters() if p.requires_grad]
        self.optimiser = recipe.descent.optimiser(
            learning, lr=recipe.descent.rate, fused=self.device.type == "cuda"
        )
        self._orders = torch.Generator().manual_seed(recipe.seed + 1)
        self._crops = torch.Generator(self.device).manual_seed(recipe.seed + 2)
        self._mean, self._deviation = (v.view(1, -1, 1, 1) for v in pictures.statistics())
        self._owner = owners(self.task, recipe.rows)
        students = 1 if self._owner is None else self.task.group.students
        order = torch.randperm(len(pictures.labels["train"]), generator=self._orders)
        self._sets = order.tensor_split(students)

    @property
    def steps(self) -> int:
        """Return the steps of an epoch, with equally many rows for every student; a short last one is left out."""
        each = self.recipe.rows // len(self._sets)
        return min(len(own) for own in self._sets) // each

    def epoch(self, number: int, epochs: int) -> Iterator[Tensor]:
        """Train for one epoch, numbered from 0, of a whole schedule.

        Yields:
            After every step, the mean of its losses, on the device.
        """
        rate = self.recipe.descent.at(number / epochs)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        for index, numbers in enumerate(self._order()):
            progress = (number * self.steps + index) / (epochs * self.steps)
            x = self._ready(crop_and_flip(self.pictures.images["train"][numbers], generator=self._crops))
            y = self.pictures.labels["train"][numbers]
            losses = of_task(self.task, x, y, owner=self._owner, progress=progress)
            seen: list[Tensor] = []
            updates(partial(_noted, losses(), seen), self.optimiser, self.device, self.recipe.dtype)
            yield torch.stack(seen).mean()

    @torch.no_grad()
    def logits(self, split: str) -> Tensor:
        """Return every student's logits in evaluation mode: (students, rows, classes)."""
        self.task.eval()
        found = []
        for images in torch.split(self.pictures.images[split], _SCORED):
            with autocast(self.device, self.recipe.dtype):
                found.append(self.task.shipped(self._ready(images)).logits.float())
        self.task.train()
        return torch.cat(found, dim=1)

    def _order(self) -> Iterable[Tensor]:
        """Return the rows of each step of an epoch, on the device; sent there once an epoch."""
        each = self.recipe.rows // len(self._sets)
        drawn = [own[torch.randperm(len(own), generator=self._orders)] for own in self._sets]
        table = torch.stack([own[: self.steps * each].view(self.steps, each) for own in drawn], dim=1)
        return table.flatten(1).to(self.device).unbind()

    def _ready(self, images: Tensor) -> Tensor:
        pixels = images.to(torch.float32, memory_format=torch.channels_last)
        return (pixels - self._mean) / self._deviation


def seconds_of(run: Run, *, steps: int) -> dict[str, float]:
    """Measure the time of a step and of scoring a row; the run's weights change, so use a separate run.

    Args:
        run: is trained a little.
        steps: number of timed steps, after as many to warm up.
    """
    going = _without_end(run)
    for _ in range(steps):
        next(going)
    wait(run.device)
    start = time.perf_counter()
    for _ in range(steps):
        next(going)
    wait(run.device)
    step = (time.perf_counter() - start) / steps
    run.logits("holdout")
    wait(run.device)
    start = time.perf_counter()
    run.logits("holdout")
    wait(run.device)
    scored = (time.perf_counter() - start) / len(run.pictures.labels["holdout"])
    return {"step": step, "scored_row": scored}


def whole_schedule(run: Run, epochs: int, clock: Clock) -> dict[str, Any]:
    """Train to the end of the schedule, choose on hold-out rows, score on test rows.

    Args:
        run: a new one.
        epochs: of the schedule.
        clock: when it runs out, the run is given up.

    Returns:
        Epochs, updates, the mean loss of each epoch, accuracies; `given_up` and no accuracy if the time was over.
    """
    start, losses = time.perf_counter(), []
    facts = {
        "epochs": epochs,
        "steps": epochs * run.steps,
        "updates": epochs * run.steps * run.task.turns,
        "rows_an_epoch": run.steps * run.recipe.rows,
        "students": run.task.group.students,
    }
    try:
        for number in range(epochs):
            found = []
            for loss in run.epoch(number, epochs):
                found.append(loss)
                if clock.left <= 0:
                    raise OutOfTimeError
            losses.append(round(float(torch.stack(found).mean()), 5))
    except OutOfTimeError:
        return facts | {"given_up": f"time was over in epoch {len(losses) + 1}", "losses": losses}
    seconds = time.perf_counter() - start
    return (
        facts
        | {"seconds": round(seconds, 2), "losses": losses}
        | scores(run.task, run.logits, run.pictures.labels)
    )


def scores(
    task: sg.CollaborativeLearning, logits: Callable[[str], Tensor], labels: Mapping[str, Tensor]
) -> dict[str, Any]:
    """Choose the student to ship on hold-out rows; score it, the mean and the ensemble on test rows, once.

    Args:
        task: knows whether a student leads.
        logits: of all students, by the name of the part: `"holdout"` or `"test"`.
        labels: of each part.
    """
    held = _accuracies(logits("holdout"), labels["holdout"])
    student = sg.student_to_ship(task, held["each"])
    test = _accuracies(logits("test"), labels["test"])
    return {"student": student, "holdout": held, "test": test | {"chosen": test["each"][student]}}


def _accuracies(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return the accuracy of each student, their mean, and that of the mean of their probabilities."""
    right = (logits.argmax(-1) == labels).double().mean(1)
    together = (logits.softmax(-1).mean(0).argmax(-1) == labels).double().mean()
    each = [round(share, 5) for share in right.tolist()]
    return {"each": each, "mean": round(float(right.mean()), 5), "ensemble": round(float(together), 5)}


def _noted(losses: Iterable[Tensor], seen: list[Tensor]) -> Iterator[Tensor]:
    for loss in losses:
        seen.append(loss.detach())
        yield loss


def _without_end(run: Run) -> Iterator[Tensor]:
    while True:
        yield from run.epoch(0, 1)
