"""What a run's method costs beside the plain network, on a batch of the run's own data."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from studygroup.analysis.cost import Cost, Step, training_cost
from studygroup.data import Batch, Data
from studygroup.training import methods
from studygroup.training.settings import Settings

_HALF = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def price(settings: Settings, data: Data, *, device: torch.device, repeats: int = 9) -> dict[str, Any]:
    """Measures a training step of the method and of the baseline in turn, on the same images.

    Both are built anew, so a trained task is not touched. Steps are taken with the run's own optimiser, in its
    precision if that is a mixed one, else in single precision, late in training, where imitation is on.

    Args:
        settings: of the run.
        data: gives the first training batch.
        device: where to measure.
        repeats: how many pairs of steps are timed.

    Returns:
        The fields of `studygroup.analysis.Cost`.
    """
    plain = dataclasses.replace(settings, recipe=methods.baseline)  # type: ignore[attr-defined]
    method = settings.build_task(data)
    batch = next(iter(settings.build_feed(data).training_batches(method, epoch=0)))
    steps = [_step(chosen, data, batch, device=device) for chosen in (settings, plain)]
    cost: Cost = training_cost(*steps, images=len(batch.labels), repeats=repeats)
    return dataclasses.asdict(cost)


def _step(settings: Settings, data: Data, batch: Batch, *, device: torch.device) -> Step:
    """A training step on one batch."""
    task = settings.build_task(data).to(device).train()
    feed, batch = settings.build_feed(data).to(device), batch.to(device)
    x, y = feed.inputs(batch.inputs), batch.labels
    owner = batch.owner if task.group.students > 1 else None
    optimizer = settings.optimizer([p for p in task.parameters() if p.requires_grad])
    half = _HALF.get(settings.precision)

    def totals() -> Iterator[Tensor]:
        updates = task.steps(x, y, owner=owner, progress=1.0)
        while True:
            with torch.autocast(device.type, half, enabled=half is not None):
                losses = next(updates, None)
            if losses is None:
                return
            yield losses.total

    return Step(task, optimizer, totals)
