"""A training step of a task on one batch, and its count of operations."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import studygroup as sg
from studygroup.analysis.cost import Step

warnings.simplefilter(
    "ignore", sg.FreshInitWarning
)  # the cost of a step does not depend on the initial weights


def training_step(
    task: sg.CollaborativeLearning,
    x: Tensor,
    y: Tensor,
    *,
    optimiser: type[torch.optim.Optimizer] = torch.optim.SGD,
    owner: Sequence[int] | Tensor | None = None,
    **options: float,
) -> Step:
    """Losses late in training, gradients, an update; task and pictures in `channels_last`.

    Args:
        task: the task to train.
        x: pictures.
        y: class indices.
        optimiser: a class of `torch.optim`.
        owner: as for the task.
        **options: of the optimiser.
    """
    task.to(memory_format=torch.channels_last).train()
    x = x.to(memory_format=torch.channels_last)
    trainable = [p for p in task.parameters() if p.requires_grad]
    return Step(
        task,
        optimiser(trainable, **options),
        lambda: (losses.total for losses in task.steps(x, y, owner=owner, progress=1.0)),
    )


def flops(step: Step) -> int:
    """Operations of convolutions and matrix products in a step's forward and backward passes."""
    with FlopCounterMode(display=False) as counter:
        for loss in step.losses():
            loss.backward()
    return counter.get_total_flops()


def first_loss(step: Step) -> Tensor:
    """Run the forward pass of a step's first update."""
    return next(iter(step.losses()))
