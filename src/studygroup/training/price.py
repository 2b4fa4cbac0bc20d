"""What a run's method costs beside the plain network, on a batch of the run's own data."""

import dataclasses
from typing import Any

import torch

from studygroup.analysis.cost import Cost, Step, training_cost
from studygroup.data import Batch, Data
from studygroup.training import methods
from studygroup.training.settings import Settings


def price(settings: Settings, data: Data, *, device: torch.device, repeats: int = 9) -> dict[str, Any]:
    """Measures a training step of the method and of the baseline in turn, on the same images.

    Both are built anew, so a trained task is not touched. Steps are taken in full precision with the run's own
    optimiser, late in training, where imitation is on.

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
    return Step(
        task, optimizer, lambda: (losses.total for losses in task.steps(x, y, owner=owner, progress=1.0))
    )
