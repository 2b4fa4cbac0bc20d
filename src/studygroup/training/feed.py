"""What reaches the network: loaders for a method's rows, and the way from a batch to the network's input."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from studygroup import seeding
from studygroup.data import (
    Augment,
    Batch,
    Data,
    EpochBatches,
    EpochLabels,
    Rows,
    SharedBatches,
    Split,
    StudentBatches,
    loader,
    subsets,
)
from studygroup.inputs import Inputs
from studygroup.ownership import Subsets
from studygroup.task import CollaborativeLearning

_SCORED = 512  # images scored at once
_TEXTS_SCORED = 64  # whose attention takes memory with the square of their length


class Feed(nn.Module):
    """Batches of one data set for one method; every order and every crop follows from the seed.

    A module, so that what normalises images follows the task to its device; it has no state of its own.

    Args:
        data: training, hold-out and test rows.
        batch_size: rows per student where each student has rows of his own, else rows per step.
        augment: what happens to training rows.
        seed: of sub-sets, order and augmentation.
        workers: loader processes; 0 is right for data in memory.
        channels_last: whether the network's input has that memory format.
    """

    def __init__(
        self, data: Data, *, batch_size: int, augment: Augment, seed: int, workers: int, channels_last: bool
    ) -> None:
        super().__init__()
        self.data, self.batch_size, self.augment = data, batch_size, augment
        self.seed, self.workers = seed, workers
        self.ready = data.form.ready(channels_last=channels_last)

    def training_batches(self, task: CollaborativeLearning, *, epoch: int) -> DataLoader[Batch]:
        """Training batches of one epoch, in an order and with labels that (seed, epoch) alone decide.

        Args:
            task: its `rows` say whether students share all rows or have sub-sets of their own.
            epoch: from 0.
        """
        sampler = self._sampler(task)
        sampler.set_epoch(epoch)
        return self._loader(self.data.train, sampler, self.data.training_labels)

    def _sampler(self, task: CollaborativeLearning) -> EpochBatches:
        rows, seed = len(self.data.train), seeding.derive(self.seed, "order")
        lengths = self.data.train.lengths
        if not isinstance(task.rows, Subsets):
            return SharedBatches(rows, batch_size=self.batch_size, seed=seed, lengths=lengths)
        draw, students = seeding.derive(self.seed, "subsets"), task.group.students
        own = subsets(rows, students, overlap=task.rows.overlap, seed=draw)
        return StudentBatches(own, batch_size=self.batch_size, seed=seed, lengths=lengths)

    def plain(self, split: Split) -> DataLoader[Batch]:
        """All rows of a split in its own order, or in that of their lengths, as they come from it."""
        size = _SCORED if split.lengths is None else _TEXTS_SCORED
        sampler = SharedBatches(len(split), batch_size=size, seed=0, shuffle=False, lengths=split.lengths)
        return self._loader(split, sampler, None)

    def _loader(self, split: Split, sampler: EpochBatches, labels: EpochLabels | None) -> DataLoader[Batch]:
        pin = torch.cuda.is_available()
        return loader(split, sampler, labels=labels, workers=self.workers, pin_memory=pin)

    def inputs(self, rows: Rows) -> Inputs:
        """What the network takes for rows as they come from a split, on the feed's device."""
        ready: Inputs = self.ready(rows)
        return ready

    def training_inputs(self, rows: Rows, *, step: int) -> Inputs:
        """What the network takes in training: augmented as (seed, step) say, then `inputs`."""
        draw = seeding.generator(self.seed, "augment", step)
        return self.inputs(self.augment(rows, generator=draw))

    def scored(self, split: Split, device: torch.device) -> Iterator[tuple[Inputs, Tensor]]:
        """Network inputs and labels of a split, on a device, in the order of `plain`."""
        self.to(device)
        for batch in self.plain(split):
            moved = batch.to(device)
            yield self.inputs(moved.inputs), moved.labels
