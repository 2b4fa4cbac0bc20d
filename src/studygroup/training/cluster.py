"""Pieces of work as tasks of Ray: a coordinator hands them out, and takes what comes back as it comes.

Only the coordinator assigns work and writes tables, so that nothing depends on locks between machines.
"""

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from studygroup.extras import missing
from studygroup.training.callbacks import NonFiniteLossError
from studygroup.training.folder import try_lock
from studygroup.training.grid import say
from studygroup.trust import allowing, given

Place = Literal["here", "ray"]
"""Where work is done: by processes of this machine, or by a cluster of Ray."""


class Work(Protocol):
    """A piece of work, which any machine that sees its folder can do; calling it does it or goes on with it."""

    @property
    def name(self) -> str:
        """Name, of its log too."""
        ...

    @property
    def folder(self) -> Path | None:
        """Folder that it holds meanwhile; None where it takes what it needs itself."""
        ...

    def __call__(self) -> Any:
        """Do it."""
        ...


W = TypeVar("W", bound=Work)


@dataclass(frozen=True)
class Outcome:
    """What came of a piece of work.

    Attributes:
        found: what it returned.
        words: why there is nothing.
        failed: whether this is an error, rather than work left to others or a loss that became infinite or NaN.
        stopped: whether a loss became infinite or NaN.
    """

    found: Any = None
    words: str = ""
    failed: bool = False
    stopped: bool = False


class Job:
    """Work that was handed to Ray as a task."""

    def __init__(self, ray: Any, reference: Any, log: Path) -> None:
        self._ray, self._reference, self._log = ray, reference, log

    @property
    def place(self) -> str:
        """The path of its log."""
        return f"log {self._log}"

    def ended(self) -> bool:
        """Return whether it has ended, successfully or not."""
        ready, _ = self._ray.wait([self._reference], timeout=0)
        return bool(ready)

    def outcome(self) -> Outcome:
        """Return its outcome, once it has ended; an error of the cluster is an outcome too."""
        try:
            outcome: Outcome = self._ray.get(self._reference)
        except self._ray.exceptions.RayError as error:  # the process or its machine was lost, too often
            return Outcome(words=f"{type(error).__name__}: {error}", failed=True)
        return outcome


def check_place(on: Place, cluster: Mapping[str, Any] | None, jobs: int | None) -> None:
    """Refuse options of a cluster where there is none, and fewer than one job.

    Raises:
        ValueError: `cluster` says something and `on` is this machine, or there are no jobs.
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"--jobs {jobs} does nothing; give at least one, or leave it out")
    if cluster and on == "here":
        raise ValueError(f"--cluster {dict(cluster)} is for --on ray; give that, or leave it out")


def on_ray(
    works: Sequence[W],
    ended: Callable[[W, Outcome], None],
    *,
    logs: Path,
    jobs: int | None,
    cluster: Mapping[str, Any],
) -> None:
    """Do pieces of work as tasks of Ray, one each, and wait for them.

    Ray ends the tasks when this process ends. It retries a task whose machine is lost, up to its `max_retries` times.

    Args:
        works: in order.
        ended: takes each with its outcome, as soon as it has ended.
        logs: folder of their logs; one call at a time hands out what belongs to it.
        jobs: maximum number of simultaneous tasks; None is as many as the cluster has room for.
        cluster: `init`, arguments of `ray.init`, and `task`, options of each task, such as `num_gpus`.

    Raises:
        RuntimeError: some failed.
        ValueError: Ray is missing or refuses what is in `cluster`, or another call is running.
    """
    if not works:
        return
    logs = logs.absolute()
    with try_lock(logs) as free:
        if not free:
            raise ValueError(
                f"another call with --on ray hands out what is logged in {logs}; wait until it ends"
            )
        with connected(cluster) as (ray, task):

            def start(batch: Sequence[W]) -> list[Job]:
                files = [logs / f"{work.name}.log" for work in batch]
                return [
                    Job(ray, task.remote(work, log, given()), log)
                    for work, log in zip(batch, files, strict=True)
                ]

            hand_out(works, start, ended, at_once=jobs)


def hand_out(
    works: Sequence[W],
    start: Callable[[Sequence[W]], Sequence[Job]],
    ended: Callable[[W, Outcome], None],
    *,
    at_once: int | None,
) -> None:
    """Hand out work, wait for it, and say on stderr what becomes of each piece.

    Args:
        works: in order.
        start: gives work to the cluster.
        ended: takes each with its outcome, as soon as it has ended.
        at_once: maximum number handed out at a time; None is all.

    Raises:
        RuntimeError: some failed; all others have ended.
    """
    waiting, going, failed, pause = [*enumerate(works, 1)], list[tuple[W, Job]](), 0, 0.0
    while waiting or going:
        room = len(waiting) if at_once is None else at_once - len(going)
        batch, waiting = waiting[:room], waiting[room:]
        if batch:
            for (number, work), job in zip(batch, start([work for _, work in batch]), strict=True):
                say(f"{number} of {len(works)}: {work}: {job.place}")
                going.append((work, job))
        over = [job.ended() for _, job in going]
        for (work, job), one in zip(going, over, strict=True):
            if one:
                outcome = job.outcome()
                ended(work, outcome)
                say(f"{work}: {outcome.words} ({job.place})" if outcome.words else f"{work}: finished")
                failed += outcome.failed
        going = [pair for pair, one in zip(going, over, strict=True) if not one]
        pause = 0.0 if any(over) else min(10.0, 0.1 + 1.2 * pause)  # runs take hours; those of a test do not
        time.sleep(pause)
    if failed:
        raise RuntimeError(f"{failed} of {len(works)} runs failed, see above; what is finished is kept")


def attempt(work: Work, *, patience: float = 120.0) -> Outcome:
    """Do a piece of work, and turn what goes wrong into an outcome.

    Args:
        work: to be done.
        patience: seconds to wait for its folder: some file systems release a lock late after a machine died.
    """
    with _held(work.folder, patience) as free:
        if not free:
            return Outcome(words="in hand elsewhere")
        try:
            return Outcome(work())
        except NonFiniteLossError as error:
            return Outcome(words=str(error), stopped=True)
        except Exception as error:  # the coordinator learns of any, and the other work goes on
            traceback.print_exc()
            return Outcome(words=f"{type(error).__name__}: {error}", failed=True)


@contextmanager
def _held(folder: Path | None, patience: float) -> Iterator[bool]:
    """Lock a folder, waiting for it if necessary; yield whether it is locked."""
    end = time.monotonic() + patience
    while folder is not None:
        with try_lock(folder) as free:
            if free or time.monotonic() >= end:
                yield free
                return
        time.sleep(min(2.0, patience))
    yield True


def _obey(work: Work, log: Path, allowed: Sequence[str]) -> Outcome:
    """Attempt a piece of work and write its output to a file; this is what a task does."""
    with (
        log.open("a", encoding="utf-8") as file,
        redirect_stdout(file),
        redirect_stderr(file),
        allowing(*allowed),
    ):
        return attempt(work)


@contextmanager
def connected(cluster: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Connect to Ray; yield it, and what starts a task.

    Args:
        cluster: `init`, arguments of `ray.init`, and `task`, options of each task.

    Raises:
        ValueError: Ray is missing or refuses what is in `cluster`.
    """
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
        # a process for each piece of work: none inherits memory or settings of the one before
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
