"""A loader for any data set whose batches say whose row is whose."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from studygroup.batching import EpochBatches, training_batches
from studygroup.task import CollaborativeLearning

_Item = tuple[int, int]  # a row and its owner, -1 where it has none


def student_loader(
    dataset: Sequence[Any] | Dataset[Any],
    task: CollaborativeLearning,
    *,
    batch_size: int,
    seed: int = 0,
    drop_last: bool = False,
    collate_fn: Callable[[list[Any]], Any] = default_collate,
    **options: Any,
) -> DataLoader[Any]:
    """Build a loader of any data set with the rows that a task requires, and their owners.

    Where students have sub-sets of their own (CGL), these are drawn once, every batch holds rows of each student
    and says whose they are: tuples `(x, y)` become `(x, y, owner)`, mappings get an entry `"owner"`. Owners are a
    list of integers, so that no library moves them to a device. Where students share all rows, batches are as the
    data set has them. No student that has two rows is alone with one.

    Every epoch has an order of its own, a function of `seed` and its number: epochs are counted as they begin, or set
    by `loader.batch_sampler.set_epoch`, which Lightning, accelerate and transformers call. Nothing is divided among
    processes: where several train, each that makes a loader of its own goes through all rows.

    Args:
        dataset: has a length and items by number, tuples or mappings.
        task: its `rows` decide.
        batch_size: rows of *each* student where students have sub-sets of their own, else rows of a step.
        seed: of the sub-sets and of the order.
        drop_last: whether to leave out a last step in which some student has fewer rows.
        collate_fn: makes a batch of a list of items.
        **options: of `torch.utils.data.DataLoader`, such as `num_workers`.

    Raises:
        TypeError: a data set without length.
        ValueError: fewer rows than students, a batch size below 1, or batches that are no tuples, lists or mappings.

    Example:
        >>> loader = sg.student_loader(dataset, task, batch_size=16)
        >>> for x, y, owner in loader:
        ...     losses = task(x, y, owner=owner, progress=epoch / epochs)
    """
    rows = len(dataset)  # type: ignore[arg-type]
    batches = training_batches(task, rows, batch_size=batch_size, seed=seed, drop_last=drop_last)
    sampler = _OwnedBatches(batches, batch_size * len(batches.parts), drop_last=drop_last)
    return DataLoader(_Owned(dataset), batch_sampler=sampler, collate_fn=_OwnersBeside(collate_fn), **options)


class _OwnedBatches(Sampler[list[_Item]]):
    """Batches of rows with their owners, under the names that accelerate and Lightning ask a batch sampler for."""

    def __init__(self, batches: EpochBatches, batch_size: int, *, drop_last: bool) -> None:
        self.batches, self.batch_size, self.drop_last = batches, batch_size, drop_last
        self._next = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self._next = epoch

    def __len__(self) -> int:
        """Return the number of steps in an epoch."""
        return len(self.batches)

    def __iter__(self) -> Iterator[list[_Item]]:
        """Yield the steps of an epoch; the next iteration is another epoch's."""
        self.batches.set_epoch(self._next)
        self._next += 1
        for draw in self.batches:
            rows = draw.rows.tolist()
            yield list(
                zip(rows, [-1] * len(rows) if draw.owner is None else draw.owner.tolist(), strict=True)
            )


class _Owned(Dataset[tuple[Any, int]]):
    """A data set whose items come with their owner."""

    def __init__(self, dataset: Sequence[Any] | Dataset[Any]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, item: _Item) -> tuple[Any, int]:
        """Return a row with its owner."""
        row, owner = item
        return self.dataset[row], owner


class _OwnersBeside:
    """Collates rows as given and puts their owners beside them."""

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, items: list[tuple[Any, int]]) -> Any:
        """Return a batch with its owners, if rows have any."""
        batch, owner = self.collate([row for row, _ in items]), [owner for _, owner in items]
        if owner[0] < 0:
            return batch
        if isinstance(batch, Mapping):
            return {**batch, "owner": owner}
        if isinstance(batch, tuple | list):
            return (*batch, owner)
        raise ValueError(
            f"a batch is a {type(batch).__name__}, which has no place for the owners; let the data set or collate_fn "
            "give tuples or mappings"
        )
