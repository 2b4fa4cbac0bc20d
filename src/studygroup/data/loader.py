"""Whole batches from a split and a sampler."""

import signal
from collections.abc import Iterator
from typing import Any, NamedTuple, overload

import torch
from jaxtyping import Float64, Int64
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from studygroup.batching import Draw, DrawPart
from studygroup.data.noise import EpochLabels, SameLabels
from studygroup.data.splits import Rows, Split
from studygroup.inputs import mapped


class Batch(NamedTuple):
    """One step's rows.

    Attributes:
        inputs: images (batch, channels, height, width) of pixels, 0 to 255, or a mapping of tensors.
        labels: class of each row.
        owner: the student that each row belongs to; None where all students see every row.
    """

    inputs: Rows
    labels: Int64[Tensor, "batch"]
    owner: Int64[Tensor, "batch"] | None

    def to(self, device: torch.device) -> "Batch":
        """Move inputs and labels to a device; `owner` stays on the host, where rows are routed."""
        inputs, labels = mapped((self.inputs, self.labels), lambda one: one.to(device, non_blocking=True))
        return Batch(inputs, labels, self.owner)


class BatchPart(NamedTuple):
    """One process's part of a step's rows.

    Attributes:
        batch: the rows.
        share: what each student's rows here count, see `parallel.Part`.
    """

    batch: Batch
    share: Float64[Tensor, "students"]

    def to(self, device: torch.device) -> "BatchPart":
        """Move inputs and labels to a device; `share` stays on the host."""
        return BatchPart(self.batch.to(device), self.share)


@overload
def loader(
    split: Split,
    sampler: Sampler[Draw],
    *,
    labels: EpochLabels | None = ...,
    workers: int = ...,
    pin_memory: bool = ...,
) -> "DataLoader[Batch]": ...


@overload
def loader(
    split: Split,
    sampler: Sampler[DrawPart],
    *,
    labels: EpochLabels | None = ...,
    workers: int = ...,
    pin_memory: bool = ...,
) -> "DataLoader[BatchPart]": ...


def loader(
    split: Split,
    sampler: Sampler[Draw] | Sampler[DrawPart],
    *,
    labels: EpochLabels | None = None,
    workers: int = 0,
    pin_memory: bool = False,
) -> "DataLoader[Any]":
    """Build a DataLoader that gives a whole `Batch` for every item of the sampler.

    The sampler runs in this process and is `loader.sampler`, where Lightning finds its `set_epoch`. An iterator asks
    it for nothing before its own first batch is asked for, so batches are those of the epoch set by then, for any
    number of workers. Global random state is not touched.

    Args:
        split: where the rows come from.
        sampler: which rows make a step.
        labels: gives the labels of all rows in an epoch, such as `Data.training_labels`; by default the split's own.
        workers: processes that decode; 0 is best for a split in memory, more help one that decodes on access.
        pin_memory: whether batches are put in page-locked memory, for faster copies to a CUDA device.
    """
    return _Loader(
        _Steps(split, labels or SameLabels(split.labels)),
        sampler=sampler,
        batch_size=None,
        num_workers=workers,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        generator=torch.Generator(),  # DataLoader seeds workers from it, else from the global state
        worker_init_fn=_leave_interrupts,
    )


class _Loader(DataLoader[Any]):
    """A DataLoader whose iterators begin with their first batch.

    Those of torch let workers load the first steps as soon as they are made. When a run is resumed, Lightning makes
    the first one before it sets the sampler's epoch: the steps would be those of another epoch.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        yield from super().__iter__()


def _leave_interrupts(worker: int) -> None:
    """Ignore Ctrl-C, which a terminal sends to workers, too: the process that they load for decides when they end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Steps(Dataset[Any]):
    """A data set over a split whose items are whole steps."""

    def __init__(self, split: Split, labels: EpochLabels) -> None:
        self.split, self.labels = split, labels
        self._epoch, self._current = -1, split.labels

    def __len__(self) -> int:
        """Return the number of rows, not of steps: the sampler counts those."""
        return len(self.split)

    def __getitem__(self, draw: Draw | DrawPart) -> Batch | BatchPart:
        """Return all rows of a step."""
        if isinstance(draw, DrawPart):
            return BatchPart(self._batch(draw.draw), draw.share)
        return self._batch(draw)

    def _batch(self, draw: Draw) -> Batch:
        rows, owner, epoch = draw
        if epoch != self._epoch:  # drawn once an epoch in each process; all of them draw the same labels
            self._epoch, self._current = epoch, self.labels(epoch)
        return Batch(self.split[rows][0], self._current[rows], owner)
