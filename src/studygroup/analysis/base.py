"""An analysis: settings, and what it finds in a finished run as plain values."""

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
    """A finished run, ready to be asked.

    Attributes:
        shipped: the network that ships, in `eval`.
        student: its number.
        students: loads all students as plain networks, as trained after the last epoch.
        batches: rows to ask for, which begin anew at every `iter`.
        rows: how many.
        reestimate: takes the batch-norm statistics of a network anew over the training rows, in place.
    """

    shipped: nn.Module
    student: int
    students: Callable[[], tuple[nn.Module, ...]]
    batches: Batches
    rows: int
    reestimate: Callable[[nn.Module], None]


@dataclass(frozen=True, kw_only=True)
class Analysis(ABC):
    """Settings of an analysis that is made on a finished run; called, it makes it."""

    @abstractmethod
    def __call__(self, run: Run, *, device: str = "auto") -> Found:
        """Analyses a run; nothing is written.

        Args:
            run: the folder of a finished run.
            device: where to compute: `auto` (CUDA where there is one), `cpu`, `cuda`, ...

        Raises:
            ValueError: no finished run lies there, it lacks what is asked for, or what it holds is damaged.
        """

    @abstractmethod
    def asked(self, found: Found) -> str:
        """What the run was asked on, in words, such as `60 test rows`."""

    @abstractmethod
    def table(self, found: Found) -> Sequence[tuple[str, ...]]:
        """What was found as rows of text, the head first."""


@dataclass(frozen=True, kw_only=True)
class OfNetworks(Analysis):
    """An analysis that asks a run's networks.

    Attributes:
        split: rows to ask for: those of the test set, or those held out of training.
        rows: only so many of them, each class in proportion, always the same; omitted, all.
    """

    split: Literal["test", "holdout"] = "test"
    rows: int | None = None

    def __call__(self, run: Run, *, device: str = "auto") -> Found:
        """Loads a run and asks its networks, see `Analysis`."""
        # runs need the extra `train`; what is said of networks does not
        from studygroup.analysis.opening import opened

        with opened(run.path, split=self.split, rows=self.rows, device=device) as finished:
            return {"rows": finished.rows, **self.of(finished)}

    def asked(self, found: Found) -> str:
        """How many rows of which split."""
        return f"{found['rows']} {self.split} rows"

    @abstractmethod
    def of(self, finished: Finished) -> Found:
        """What is found in a run that has been loaded."""
