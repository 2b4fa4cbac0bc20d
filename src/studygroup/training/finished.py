"""A finished run, reopened."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from studygroup.data import Data
from studygroup.task import CollaborativeLearning
from studygroup.training.checkpoints import newest_readable
from studygroup.training.feed import Feed
from studygroup.training.folder import RunFolder
from studygroup.training.run import cpu_threads
from studygroup.training.settings import Settings
from studygroup.training.ship import load_net, reestimate_bn


@dataclass(frozen=True)
class FinishedRun:
    """A finished run with its settings, data and batches.

    Attributes:
        folder: the run folder.
        summary: its scores and facts.
        settings: as it was trained.
        data: as it was trained on.
        feed: the batches.
    """

    folder: RunFolder
    summary: dict[str, Any]
    settings: Settings
    data: Data
    feed: Feed

    def net(self) -> nn.Module:
        """Load the shipped network, in `eval` mode, on the CPU.

        Raises:
            ValueError: its file is missing or damaged.
        """
        return load_net(self.folder.weights)

    def task(self) -> CollaborativeLearning:
        """Rebuild the task from the last checkpoint, on the CPU.

        Raises:
            ValueError: no checkpoint can be read.
        """
        found = newest_readable(self.folder.checkpoints)
        if found is None:
            raise ValueError(
                f"{self.folder.checkpoints} has no readable checkpoint; train the run again in a new folder"
            )
        task, state = self.settings.build_task(self.data), found[1]["state_dict"]
        task.load_state_dict({k.removeprefix("task."): v for k, v in state.items() if k.startswith("task.")})
        return task

    def reestimate_bn(self, net: nn.Module, *, device: torch.device) -> None:
        """Re-estimate the batch-norm statistics of one student's network in place, see `ship.reestimate_bn`.

        Args:
            net: the exported network.
            device: the device to compute on.
        """
        # the task decides how rows are batched
        reestimate_bn(net, self.feed, self.settings.build_task(self.data), device=device)


@contextmanager
def reopened(run: str | Path) -> Iterator[FinishedRun]:
    """Reopen a finished run, on as many CPU threads as it was trained with.

    Args:
        run: the run folder.

    Raises:
        ValueError: the folder holds no finished run, or its files or data are damaged.
    """
    folder = RunFolder(Path(run))
    summary, settings = folder.read_summary(), Settings.from_config(folder.read_config())
    with cpu_threads(settings.threads):
        data = settings.load_data()
        yield FinishedRun(folder, summary, settings, data, settings.build_feed(data))
