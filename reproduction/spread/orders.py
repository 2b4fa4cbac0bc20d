"""One coordinator hands out runs to a cluster, each to one job, and keeps the figures that come back.

Only the coordinator decides who makes a run and writes results, so that nothing rests on locks between machines.
"""

import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.environment import provenance
from reproduction import stopped
from reproduction.lab import Lab
from reproduction.runner import Run, kept, made, say
from reproduction.tables import Figures, Table
from studygroup.training.folder import held
from studygroup.training.guard import NonFiniteLossError


@dataclass(frozen=True)
class Outcome:
    """What became of an order.

    Attributes:
        found: figures of the finished run; None where there are none.
        where: machine and versions, with `found`.
        words: why there are no figures.
        failed: whether that is an error, and not a run that is left to others or whose loss is no number.
        stopped: whether its loss is no number.
    """

    found: Figures | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    words: str = ""
    failed: bool = False
    stopped: bool = False


@dataclass(frozen=True)
class Order:
    """One run, to be made by whoever calls this, on any machine that sees the folder of runs.

    Attributes:
        lab: where and how, its folder absolute.
        run: to be made.
        patience: seconds to wait for a folder that is held: some file systems let go of it late after a machine died.
    """

    lab: Lab
    run: Run
    patience: float = 120.0

    def __call__(self) -> Outcome:
        """Makes the run, from its own checkpoint if it was begun."""
        with _held(self.lab.folder(self.run.key, self.run.seed).path, self.patience) as free:
            if not free:
                return Outcome(words="in hand elsewhere")
            try:
                return Outcome(made(self.lab, self.run), provenance())
            except NonFiniteLossError as error:
                return Outcome(words=str(error), stopped=True)
            except Exception as error:  # whatever it is, the coordinator is told, and the other runs go on
                traceback.print_exc()
                return Outcome(words=f"{type(error).__name__}: {error}", failed=True)

    def checkpoint(self) -> Any:
        """The same order again: submitit asks for it when Slurm is about to stop the job."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class Job(ABC):
    """A run that is with a cluster."""

    @property
    @abstractmethod
    def place(self) -> str:
        """Its name there and where its log lies."""

    @abstractmethod
    def done(self) -> bool:
        """Whether it has ended, well or not."""

    @abstractmethod
    def outcome(self) -> Outcome:
        """What became of it, once it is done; an error of the cluster is an outcome too."""

    @abstractmethod
    def close(self) -> None:
        """Forgets it, when the outcome is kept."""


def hand_out(
    table: Table,
    lab: Lab,
    runs: Sequence[Run],
    start: Callable[[Sequence[Run]], Sequence[Job]],
    *,
    at_once: int | None,
) -> None:
    """Has runs made, waits for them, and keeps the figures of each as soon as it is finished.

    Args:
        table: that they belong to.
        lab: where and how.
        runs: in order.
        start: gives runs to the cluster.
        at_once: most runs that are with it at a time; None is all of them.

    Raises:
        RuntimeError: one of them failed; all others have ended.
    """
    waiting, going, failed, pause = [*enumerate(runs, 1)], list[tuple[Run, Job]](), 0, 0.0
    while waiting or going:
        room = len(waiting) if at_once is None else at_once - len(going)
        batch, waiting = waiting[:room], waiting[room:]
        if batch:
            for (number, run), job in zip(batch, start([run for _, run in batch]), strict=True):
                say(f"{table.id}, run {number} of {len(runs)}: {run}: {job.place}")
                going.append((run, job))
        ended = [job.done() for _, job in going]
        failed += sum(_failed(table, lab, *pair) for pair, over in zip(going, ended, strict=True) if over)
        going = [pair for pair, over in zip(going, ended, strict=True) if not over]
        pause = 0.0 if any(ended) else min(10.0, 0.1 + 1.2 * pause)  # runs take hours; those of a test do not
        time.sleep(pause)
    if failed:
        raise RuntimeError(f"{failed} of {len(runs)} runs failed, see above; what is finished is kept")


def _failed(table: Table, lab: Lab, run: Run, job: Job) -> bool:
    """Keeps or tells what became of a run."""
    outcome = job.outcome()
    if outcome.found is None:
        say(f"{run}: {outcome.words} ({job.place})")
        if outcome.stopped:
            stopped.add(lab.kept, run.name, outcome.words)
    else:
        where = {**outcome.where, "command": provenance()["command"]}
        kept(table, lab, run, outcome.found, where=where)
        say(f"{run}: finished")
    job.close()
    return outcome.failed


@contextmanager
def _held(folder: Path, patience: float) -> Iterator[bool]:
    """Holds a folder, waiting for it if need be; gives whether it does."""
    end = time.monotonic() + patience
    while True:
        with held(folder) as free:
            if free or time.monotonic() >= end:
                yield free
                return
        time.sleep(min(2.0, patience))
