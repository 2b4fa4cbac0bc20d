"""Loading of a finished run to evaluate its networks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from studygroup.analysis.base import Finished
from studygroup.data import Split
from studygroup.data.stratify import stratified
from studygroup.inputs import Inputs
from studygroup.training.feed import Feed
from studygroup.training.finished import FinishedRun, reopened


@contextmanager
def opened(
    run: Path, *, split: Literal["test", "holdout"] = "test", rows: int | None = None, device: str = "auto"
) -> Iterator[Finished]:
    """Load a finished run, with as many CPU threads as it was trained with.

    Args:
        run: the run folder.
        split: which rows; held-out rows have the labels that the run selected its student by, noise included.
        rows: number of rows to take, each class in proportion, always the same; omitted, or where there are fewer,
            all.
        device: where to compute; `auto` is CUDA where there is one, else the CPU.

    Raises:
        ValueError: the folder holds no finished run, its files or data are damaged, or no rows are asked for.
    """
    place = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    with reopened(run) as found:
        part = _some(found.data.test if split == "test" else found.data.holdout, rows)
        yield Finished(
            shipped=found.net().to(place),
            student=found.summary["shipped"]["student"],
            students=partial(_students, found, place),
            batches=_Scored(found.feed, part, place),
            rows=len(part),
            reestimate=partial(found.reestimate_bn, device=place),
        )


@dataclass(frozen=True)
class _Scored:
    """Rows of a split, from the first at every `iter`."""

    feed: Feed
    split: Split
    device: torch.device

    def __iter__(self) -> Iterator[tuple[Inputs, Tensor]]:
        return self.feed.scored(self.split, self.device)


def _some(split: Split, rows: int | None) -> Split:
    """Return a sample of rows, each class in proportion: many data sets are sorted by class."""
    if rows is None:
        return split
    if rows < 1:
        raise ValueError(f"rows is {rows}; give at least 1, or leave it out for all {len(split)}")
    return split.take(stratified(split.labels, min(rows, len(split)), seed=0, draw="analysis"))


def _students(found: FinishedRun, device: torch.device) -> tuple[nn.Module, ...]:
    group = found.task().shipped
    return tuple(group.export(student).eval().to(device) for student in range(group.students))
