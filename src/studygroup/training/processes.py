"""The processes of one run: the first writes, the others train beside it."""

import os
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, Strategy

from studygroup._engine.ranks import alone, over_ranks, place
from studygroup.ownership import Subsets
from studygroup.task import CollaborativeLearning
from studygroup.training.settings import Settings


def is_first(settings: Settings) -> bool:
    """Tell whether this process is the first of a run, by what torchrun, SLURM or Lightning says of it."""
    if settings.processes == 1:
        return True
    said = os.environ
    if "RANK" in said:
        return said["RANK"] == "0"
    if SLURMEnvironment.detect():
        return said["SLURM_PROCID"] == "0"
    return said.get("NODE_RANK", "0") == said.get("LOCAL_RANK", "0") == "0"


def check_one_process(settings: Settings, *, of: str) -> None:
    """Refuse settings of several processes in a command, `of`, whose one process hands out the runs.

    Raises:
        ValueError: `devices` or `num_nodes` is above 1.
    """
    if settings.processes > 1:
        raise ValueError(
            f"devices={settings.devices} and num_nodes={settings.num_nodes} divide one run among "
            f"{settings.processes} processes, and {of} makes many; leave them out, or train each by itself"
        )


def together(settings: Settings) -> AbstractContextManager[None]:
    """Return a context in which the processes of a run count, and no others that `torch.distributed` knows of."""
    return nullcontext() if settings.processes > 1 else alone()


def strategy(settings: Settings, task: CollaborativeLearning) -> str | Strategy:
    """Return how a run's processes exchange gradients.

    Parameters without a gradient are looked for where there may be some that no process has rows for, so that neither
    momentum nor decay moves them.
    """
    if settings.processes == 1:
        return "auto"
    return DDPStrategy(find_unused_parameters=task.in_turn or isinstance(task.rows, Subsets))


def wait_for_first() -> None:
    """Wait until all processes have come here."""
    if place().ranks > 1:
        dist.barrier()


class SameStart(Callback):
    """Callback that refuses to train where processes would begin at different epochs.

    Args:
        start: epochs that are done in the checkpoint that this process has read.
    """

    def __init__(self, start: int) -> None:
        self.start = start

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare the epochs of all processes.

        Raises:
            ValueError: they differ.
        """
        here = torch.tensor([self.start, -self.start], device=trainer.strategy.root_device)
        most, least = over_ranks(here, "max").tolist()
        if most != -least:
            raise ValueError(
                f"processes have read checkpoints of {-least} to {most} epochs; keep the run folder where all "
                "machines see it"
            )
