"""Data loaders for a method's rows, and the conversion of a batch to network input."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler

from studygroup import seeding
from studygroup._engine.ranks import of_this_process, place
from studygroup.batching import training_batches
from studygroup.data import Augment, Batch, Data, EpochLabels, Mix, Rows, SharedBatches, Split, loader
from studygroup.inputs import Inputs
from studygroup.parallel import Divide, PartBatches, ScoredPart
from studygroup.task import CollaborativeLearning

_SCORED = 512  # images scored at once
_TEXTS_SCORED = 64  # fewer, as the memory of attention grows with the square of their length


class DataModule(nn.Module):
    """Batches of one data set for one method; the seed determines every order and every crop.

    A module, so that the normalisation of images moves with the task to its device; it has no state of its own.

    Args:
        data: training, hold-out and test rows.
        batch_size: rows per student where every student has its own rows, else rows per step.
        augment: augmentation of training rows.
        seed: seed of subsets, order and augmentation.
        workers: loader processes; 0 is right for data in memory.
        channels_last: whether network input has this memory format.
        mix: mixture of training rows and their labels; by default none.
        divide: what several processes divide of a step, see `parallel.part`.
    """

    def __init__(
        self,
        data: Data,
        *,
        batch_size: int,
        augment: Augment,
        seed: int,
        workers: int,
        channels_last: bool,
        mix: Mix | None = None,
        divide: Divide = "rows",
    ) -> None:
        super().__init__()
        self.data, self.batch_size, self.augment = data, batch_size, augment
        self.seed, self.workers, self.mix, self.divide = seed, workers, mix, divide
        self.ready = data.form.ready(channels_last=channels_last)

    def training_batches(self, task: CollaborativeLearning, *, epoch: int) -> DataLoader[Any]:
        """Return the training batches of one epoch, in an order and with labels that (seed, epoch) alone determine.

        Where several processes train, they are this one's part of each.

        Args:
            task: its `rows` decide whether students share all rows or have subsets of their own.
            epoch: counted from 0.
        """
        sampler = training_batches(
            task,
            len(self.data.train),
            batch_size=self.batch_size,
            seed=self.seed,
            lengths=self.data.train.lengths,
        )
        sampler.set_epoch(epoch)
        here = place()
        batches: Sampler[Any] = sampler
        if here.ranks > 1:
            batches = PartBatches(sampler, students=task.group.students, divide=self.divide, here=here)
        return self._loader(self.data.train, batches, self.data.training_labels)

    def evaluation_loader(self, split: Split, *, part: bool = False) -> DataLoader[Any]:
        """Return batches of all rows of a split, unaugmented, in the split's order or sorted by length.

        Args:
            split: the rows.
            part: whether to return this process's part alone, where several train.
        """
        size = _SCORED if split.lengths is None else _TEXTS_SCORED
        sampler = SharedBatches(len(split), batch_size=size, seed=0, shuffle=False, lengths=split.lengths)
        here = place()
        batches: Sampler[Any] = sampler
        if part and here.ranks > 1:
            batches = ScoredPart(sampler, here=here)
        return self._loader(split, batches, None)

    def _loader(self, split: Split, sampler: Sampler[Any], labels: EpochLabels | None) -> DataLoader[Any]:
        pin = torch.cuda.is_available()
        return loader(split, sampler, labels=labels, workers=self.workers, pin_memory=pin)

    def inputs(self, rows: Rows) -> Inputs:
        """Convert rows of a split to network input, on the datamodule's device."""
        ready: Inputs = self.ready(rows)
        return ready

    def training_rows(self, batch: Batch, *, step: int) -> tuple[Inputs, Tensor]:
        """Convert a batch to network input and labels for training, augmented and mixed as (seed, step) determine.

        Each of several processes draws for its own rows, the first as the only one would for them.

        Args:
            batch: on the datamodule's device.
            step: number of the update.

        Returns:
            The input, and class indices (batch,) or, where rows are mixed, class probabilities (batch, classes).
        """
        draw = seeding.generator(self.seed, "augment", step, *of_this_process())
        inputs = self.inputs(self.augment(batch.inputs, generator=draw))
        if self.mix is None:
            return inputs, batch.labels
        mixed: tuple[Inputs, Tensor] = self.mix(
            inputs, batch.labels, classes=len(self.data.classes), owner=batch.owner, generator=draw
        )
        return mixed

    def evaluation_batches(self, split: Split, device: torch.device) -> Iterator[tuple[Inputs, Tensor]]:
        """Yield network inputs and labels of a split, on a device, in the order of `evaluation_loader`."""
        self.to(device)
        for batch in self.evaluation_loader(split):
            moved = batch.to(device)
            yield self.inputs(moved.inputs), moved.labels
