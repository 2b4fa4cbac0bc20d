"""The cost of a run's method relative to the plain network, on a batch of the run's own data."""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from studygroup.analysis.cost import Cost, Step, training_cost
from studygroup.data import Batch, Data
from studygroup.inputs import Inputs
from studygroup.task import CollaborativeLearning
from studygroup.training import methods
from studygroup.training.settings import Settings

_HALF = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def totals(
    settings: Settings,
    task: CollaborativeLearning,
    x: Inputs,
    y: Tensor,
    *,
    owner: Sequence[int] | Tensor | None,
    progress: float,
) -> Iterator[Tensor]:
    """Yield the losses of a batch's updates in turn, in a run's precision; see `CollaborativeLearning.steps`."""
    updates = task.steps(x, y, owner=owner, progress=progress)
    while True:
        with autocast(settings, y.device):
            losses = next(updates, None)
        if losses is None:
            return
        yield losses.total


def autocast(settings: Settings, device: torch.device) -> torch.autocast:
    """Return the context in which a run computes, as its precision says."""
    half = _HALF.get(settings.precision)
    return torch.autocast(device.type, half, enabled=half is not None)


def measure_step_cost(settings: Settings, data: Data, *, device: torch.device, repeats: int = 9) -> Cost:
    """Measure `repeats` training steps of the method and of the baseline alternately, on the same rows.

    Both tasks are built anew, so that a trained one is not touched. Steps use the run's own optimiser, its precision
    if that is mixed, else single precision, and the loss weights at the end of training, when imitation is on.
    """
    plain = dataclasses.replace(settings, recipe=methods.baseline)  # type: ignore[attr-defined]
    method = settings.build_task(data)
    batch = next(iter(settings.build_datamodule(data).training_batches(method, epoch=0)))
    steps = [_step(chosen, data, batch, device=device) for chosen in (settings, plain)]
    return training_cost(*steps, images=len(batch.labels), repeats=repeats)


def _step(settings: Settings, data: Data, batch: Batch, *, device: torch.device) -> Step:
    """Build a training step on one batch."""
    task = settings.build_task(data).to(device).train()
    datamodule, batch = settings.build_datamodule(data).to(device), batch.to(device)
    x, y = datamodule.inputs(batch.inputs), batch.labels
    owner = batch.owner if task.group.students > 1 else None
    optimizer = settings.optimizer([p for p in task.parameters() if p.requires_grad])
    return Step(task, optimizer, partial(totals, settings, task, x, y, owner=owner, progress=1.0))
