"""The base of all analyses: settings, and the results of a finished run as plain values."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from studygroup.analysis.answers import Batches
from studygroup.inputs import Inputs

if TYPE_CHECKING:
    from studygroup.data import Split
    from studygroup.training.datamodule import DataModule
    from studygroup.training.load_run import Run as FinishedRun

Found = dict[str, Any]
"""The result of an analysis, as JSON holds it."""


@runtime_checkable
class Run(Protocol):
    """A run folder, such as `studygroup.training.RunFolder`."""

    @property
    def path(self) -> Path:
        """The folder."""
        ...


@dataclass(frozen=True)
class LoadedNetworks:
    """A finished run whose networks are loaded.

    Attributes:
        shipped: the network that ships, in `eval`.
        student: number of the shipped student.
        students: loads all students as plain networks, as they were after the last epoch.
        batches: the rows to evaluate, from the first at every `iter`.
        rows: number of rows.
        reestimate: re-estimates the batch-norm statistics of a network over the training rows, in place.
    """

    shipped: nn.Module
    student: int
    students: Callable[[], tuple[nn.Module, ...]]
    batches: Batches
    rows: int
    reestimate: Callable[[nn.Module], None]


@dataclass(frozen=True, kw_only=True)
class Analysis(ABC):
    """Settings of an analysis; call it to analyse a finished run."""

    @abstractmethod
    def __call__(self, run: Run, *, device: str = "auto") -> Found:
        """Analyse a run; nothing is written.

        Args:
            run: the folder of a finished run.
            device: where to compute: `auto` (CUDA where there is one), `cpu`, `cuda`, ...

        Raises:
            ValueError: the folder holds no finished run, the run lacks what is needed, or its files are damaged.
        """

    @abstractmethod
    def asked(self, found: Found) -> str:
        """Return a description of what was evaluated, such as `60 test rows`."""

    @abstractmethod
    def table(self, found: Found) -> Sequence[tuple[str, ...]]:
        """Return the results as rows of text, the header first."""


@dataclass(frozen=True, kw_only=True)
class OfNetworks(Analysis):
    """An analysis that evaluates a run's networks.

    Attributes:
        split: rows to evaluate: those of the test set, or those held out of training.
        rows: number of rows to take, each class in proportion, always the same; omitted, all.
    """

    split: Literal["test", "holdout"] = "test"
    rows: int | None = None

    def __call__(self, run: Run, *, device: str = "auto") -> Found:
        """Load a run and evaluate its networks, see `Analysis`."""
        with load_networks(run.path, split=self.split, rows=self.rows, device=device) as networks:
            return {"rows": networks.rows, **self.evaluate(networks)}

    def asked(self, found: Found) -> str:
        """Return how many rows of which split were evaluated."""
        return f"{found['rows']} {self.split} rows"

    @abstractmethod
    def evaluate(self, networks: LoadedNetworks) -> Found:
        """Analyse a run that has been loaded."""


@contextmanager
def load_networks(
    run: Path, *, split: Literal["test", "holdout"] = "test", rows: int | None = None, device: str = "auto"
) -> Iterator[LoadedNetworks]:
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
    from studygroup.training.load_run import load_run  # the only part that needs the extra `train`

    place = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    with load_run(run) as found:
        part = _some(found.data.test if split == "test" else found.data.holdout, rows)
        yield LoadedNetworks(
            shipped=found.load().to(place),
            student=found.summary.shipped.student,
            students=partial(_students, found, place),
            batches=_Rows(found.datamodule, part, place),
            rows=len(part),
            reestimate=partial(found.reestimate_bn, device=place),
        )


@dataclass(frozen=True)
class _Rows:
    """Rows of a split, from the first at every `iter`."""

    datamodule: "DataModule"
    split: "Split"
    device: torch.device

    def __iter__(self) -> Iterator[tuple[Inputs, Tensor]]:
        return self.datamodule.evaluation_batches(self.split, self.device)


def _some(split: "Split", rows: int | None) -> "Split":
    """Return a sample of rows, each class in proportion: many data sets are sorted by class."""
    if rows is None:
        return split
    if rows < 1:
        raise ValueError(f"rows is {rows}; give at least 1, or leave it out for all {len(split)}")
    from studygroup.data.stratify import stratified

    return split.take(stratified(split.labels, min(rows, len(split)), seed=0, draw="analysis"))


def _students(found: "FinishedRun", device: torch.device) -> tuple[nn.Module, ...]:
    group = found.task().shipped
    return tuple(group.export(student).eval().to(device) for student in range(group.students))
