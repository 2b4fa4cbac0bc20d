"""Runs as tasks of Ray, one each: a coordinator hands them out and saves the figures that come back.

Only the coordinator assigns runs and writes results, so that nothing depends on locks between machines.
"""

import dataclasses
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reproduction.benchmarks.environment import provenance
from reproduction.lab import Lab
from reproduction.results import add_stopped
from reproduction.runner import Run, keep_run, make, say
from reproduction.tables import Figures, Table
from studygroup.extras import missing
from studygroup.training.callbacks import NonFiniteLossError
from studygroup.training.folder import try_lock


def on_ray(
    table: Table, lab: Lab, runs: Sequence[Run], *, jobs: int | None, cluster: Mapping[str, Any]
) -> None:
    """Make runs as tasks of Ray, one each, and wait for them.

    Ray ends the tasks when this process ends; the next call resumes from their checkpoints. Ray retries a task whose
    machine is lost, up to its `max_retries` times, and it resumes in the same way.

    Args:
        table: that they belong to.
        lab: where and how; all machines see its folder and the data.
        runs: in order.
        jobs: maximum number of simultaneous tasks; None is as many as the cluster has room for.
        cluster: `init`, arguments of `ray.init`, and `task`, options of each task, such as `num_gpus`.

    Raises:
        RuntimeError: a run failed.
        ValueError: Ray is missing or refuses what is in `cluster`, or another call is running.
    """
    if not runs:
        return
    lab = dataclasses.replace(lab, run_dir=lab.run_dir.absolute())
    folder = lab.run_dir / "jobs" / "ray"
    with try_lock(folder) as free:
        if not free:
            raise ValueError(
                f"another call with --on ray hands out the runs of {lab.run_dir}; wait until it ends"
            )
        with _task(cluster) as (ray, task):

            def start(batch: Sequence[Run]) -> list[Job]:
                logs = [folder / f"{run.name}.log" for run in batch]
                return [
                    _Task(ray, task.remote(Order(lab, run), log), log)
                    for run, log in zip(batch, logs, strict=True)
                ]

            hand_out(table, lab, runs, start, at_once=jobs)


@dataclass(frozen=True)
class Outcome:
    """The outcome of an order.

    Attributes:
        found: figures of the finished run; None if there are none.
        where: machine and versions, with `found`.
        words: why there are no figures.
        failed: whether this is an error, rather than a run left to others or one whose loss became infinite or NaN.
        stopped: whether its loss became infinite or NaN.
    """

    found: Figures | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    words: str = ""
    failed: bool = False
    stopped: bool = False


@dataclass(frozen=True)
class Order:
    """One run, made by calling this on any machine that sees the folder of runs.

    Attributes:
        lab: where and how, its folder absolute.
        run: to be made.
        patience: seconds to wait for a locked folder: some file systems release it late after a machine died.
    """

    lab: Lab
    run: Run
    patience: float = 120.0

    def __call__(self) -> Outcome:
        """Make the run, resuming from its checkpoint if it was started."""
        with _held(self.lab.folder(self.run.key, self.run.seed).path, self.patience) as free:
            if not free:
                return Outcome(words="in hand elsewhere")
            try:
                return Outcome(make(self.lab, self.run), provenance())
            except NonFiniteLossError as error:
                return Outcome(words=str(error), stopped=True)
            except Exception as error:  # the coordinator learns of any, and the other runs go on
                traceback.print_exc()
                return Outcome(words=f"{type(error).__name__}: {error}", failed=True)


class Job(ABC):
    """A run handed to a cluster."""

    @property
    @abstractmethod
    def place(self) -> str:
        """The path of its log."""

    @abstractmethod
    def done(self) -> bool:
        """Return whether it has ended, successfully or not."""

    @abstractmethod
    def outcome(self) -> Outcome:
        """Return its outcome, once it is done; an error of the cluster is an outcome too."""


def hand_out(
    table: Table,
    lab: Lab,
    runs: Sequence[Run],
    start: Callable[[Sequence[Run]], Sequence[Job]],
    *,
    at_once: int | None,
) -> None:
    """Hand out runs, wait for them, and save the figures of each as soon as it is finished.

    Args:
        table: that they belong to.
        lab: where and how.
        runs: in order.
        start: gives runs to the cluster.
        at_once: maximum number of runs handed out at a time; None is all of them.

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
    """Save or report the outcome of a run; return whether it failed."""
    outcome = job.outcome()
    if outcome.found is None:
        say(f"{run}: {outcome.words} ({job.place})")
        if outcome.stopped:
            add_stopped(lab.results_dir, run.name, outcome.words)
    else:
        where = {**outcome.where, "command": provenance()["command"]}
        keep_run(table, lab, run, outcome.found, where=where)
        say(f"{run}: finished")
    return outcome.failed


@contextmanager
def _held(folder: Path, patience: float) -> Iterator[bool]:
    """Lock a folder, waiting for it if necessary; yield whether it is locked."""
    end = time.monotonic() + patience
    while True:
        with try_lock(folder) as free:
            if free or time.monotonic() >= end:
                yield free
                return
        time.sleep(min(2.0, patience))


class _Task(Job):
    """A task of Ray."""

    def __init__(self, ray: Any, reference: Any, log: Path) -> None:
        self._ray, self._reference, self._log = ray, reference, log

    @property
    def place(self) -> str:
        return f"log {self._log}"

    def done(self) -> bool:
        ready, _ = self._ray.wait([self._reference], timeout=0)
        return bool(ready)

    def outcome(self) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(self._reference)
        except self._ray.exceptions.RayError as error:  # the process or its machine was lost, too often
            return Outcome(words=f"{type(error).__name__}: {error}", failed=True)
        return outcome


def _obey(order: Order, log: Path) -> Outcome:
    """Carry out an order and write its output to a file; this is the work of a task."""
    with log.open("a", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
        return order()


@contextmanager
def _task(cluster: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Connect to Ray; yield it, and what starts a task."""
    try:
        import ray
    except ImportError as error:
        raise missing("--on ray", "cluster", error) from error
    unknown = {*cluster} - {"init", "task"}
    if unknown:
        raise ValueError(
            f"--on ray does not know {', '.join(sorted(unknown))}; write --cluster "
            """'{"init": {"address": "auto"}, "task": {"num_gpus": 1}}'"""
        )
    try:
        # a process for each run: none inherits memory or settings of the one before
        task = ray.remote(max_calls=1, **cluster.get("task", {}))(_obey)
        ours = not ray.is_initialized()
        if ours:
            ray.init(**cluster.get("init", {}))
    except (TypeError, ValueError, ConnectionError, RuntimeError) as error:
        raise ValueError(f"Ray does not take --cluster {dict(cluster)}: {error}") from error
    try:
        yield ray, task
    finally:
        if ours:
            ray.shutdown()
