"""The base of all analyses: settings, and the results of a finished run as plain values."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from torch import nn

from studygroup.analysis.answers import Batches

Found = dict[str, Any]
"""What an analysis found, as JSON holds it."""


@runtime_checkable
class Run(Protocol):
    """A run folder, such as `studygroup.training.RunFolder`."""

    @property
    def path(self) -> Path:
        """The folder."""
        ...


@dataclass(frozen=True)
class Finished:
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
        """Return what was evaluated, in words, such as `60 test rows`."""

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
        # loading runs needs the extra `train`, analysing networks does not
        from studygroup.analysis.opening import opened

        with opened(run.path, split=self.split, rows=self.rows, device=device) as finished:
            return {"rows": finished.rows, **self.of(finished)}

    def asked(self, found: Found) -> str:
        """Return how many rows of which split were evaluated."""
        return f"{found['rows']} {self.split} rows"

    @abstractmethod
    def of(self, finished: Finished) -> Found:
        """Analyse a run that has been loaded."""
