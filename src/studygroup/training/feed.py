"""What reaches the network: loaders for a method's rows, and the way from uint8 images to normalised input."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from studygroup import seeding
from studygroup.collaborate import CollaborativeLearning, Subsets
from studygroup.data import (
    Augment,
    Batch,
    Data,
    EpochBatches,
    EpochLabels,
    Normalise,
    SharedBatches,
    Split,
    StudentBatches,
    loader,
    subsets,
)

_SCORED = 512  # rows scored at once


class Feed(nn.Module):
    """Batches of one data set for one method; every order and every crop follows from the seed.

    A module, so that what normalises the images follows the task to its device; it has no state of its own.

    Args:
        data: training, hold-out and test rows.
        batch_size: rows per student where each student has rows of his own, else rows per step.
        augment: what happens to training images.
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
        self.normalise = Normalise(data.mean, data.std, channels_last=channels_last)

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
        if not isinstance(task.rows, Subsets):
            return SharedBatches(rows, batch_size=self.batch_size, seed=seed)
        draw, students = seeding.derive(self.seed, "subsets"), task.group.students
        own = subsets(rows, students, overlap=task.rows.overlap, seed=draw)
        return StudentBatches(own, batch_size=self.batch_size, seed=seed)

    def plain(self, split: Split) -> DataLoader[Batch]:
        """All rows of a split in their own order, as uint8 batches."""
        sampler = SharedBatches(len(split), batch_size=_SCORED, seed=0, shuffle=False)
        return self._loader(split, sampler, None)

    def _loader(self, split: Split, sampler: EpochBatches, labels: EpochLabels | None) -> DataLoader[Batch]:
        pin = torch.cuda.is_available()
        return loader(split, sampler, labels=labels, workers=self.workers, pin_memory=pin)

    def inputs(self, images: Tensor) -> Tensor:
        """What the network takes for uint8 images (N, C, H, W)."""
        ready: Tensor = self.normalise(images)
        return ready

    def training_inputs(self, images: Tensor, *, step: int) -> Tensor:
        """What the network takes in training: augmented as (seed, step) say, then `inputs`."""
        draw = seeding.generator(self.seed, "augment", step)
        return self.inputs(self.augment(images, generator=draw))

    def scored(self, split: Split, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """Network inputs and labels of a split, on a device, in the split's order."""
        self.to(device)
        for batch in self.plain(split):
            yield self.inputs(batch.images.to(device)), batch.labels.to(device)
