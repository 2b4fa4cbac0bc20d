"""Train cells x seeds, each run once: whoever asks for it, and however many processes work on one folder."""

import multiprocessing
import multiprocessing.resource_tracker
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch

from studygroup.data import UnavailableError
from studygroup.stopping import PATIENCE, Stopped, end_quietly, stoppable
from studygroup.training.callbacks import NonFiniteLossError
from studygroup.training.folder import RunFolder, try_lock
from studygroup.trust import allowing, given


@runtime_checkable
class GridRun(Protocol):
    """A cell with a seed; subclass it, or give any object with these attributes."""

    @property
    def data_name(self) -> str:
        """Name of the data set, by which runs on the same data are known."""
        ...


R = TypeVar("R", bound=GridRun)


def run_grid(
    runs: Sequence[R],
    make: Callable[[R], None],
    *,
    folder: Callable[[R], RunFolder],
    needed: Callable[[R], bool] = lambda run: True,
    diverged: Callable[[R, NonFiniteLossError], None],
) -> None:
    """Make runs in order, except those that another process is making.

    A run whose loss is not finite, or whose data cannot be opened, does not keep the others from being made.

    Args:
        runs: in order; all cells with the first seed, then all with the second, gives a table soonest.
        make: trains a run and keeps its results; its folder is locked meanwhile, and an interrupted run resumes.
        folder: returns the folder of a run.
        needed: whether there is anything left to do for a run, asked while its folder is locked.
        diverged: called with a run whose loss is not finite.

    Raises:
        UnavailableError: data could not be opened; the runs on other data are done.
        ValueError: data, network or recipe do not fit together.
    """

    def one(run: R) -> None:
        with try_lock(folder(run).path) as free:
            if not free or not needed(run):
                return
            try:
                make(run)
            except NonFiniteLossError as error:
                diverged(run, error)

    for_each(runs, one)


def for_each(runs: Sequence[R], one: Callable[[R], None]) -> None:
    """Do one thing with each run; skip runs on data that cannot be opened, and name these data at the end.

    Raises:
        UnavailableError: data could not be opened; it is done with the runs on other data.
    """
    closed: dict[str, UnavailableError] = {}
    for run in runs:
        if run.data_name not in closed:
            try:
                one(run)
            except UnavailableError as error:
                closed[run.data_name] = error
    if closed:
        raise UnavailableError("; ".join(f"{name}: {error}" for name, error in closed.items()))


def in_processes(work: Callable[..., None], *arguments: Any, count: int) -> None:
    """Do the same work in several processes of this machine, of one thread each, and wait for them.

    They end with this process: asked to stop, they finish the epoch at hand if that is quick.

    Args:
        work: an importable function, such as one that calls `run_grid`; a `ValueError` or `RuntimeError` ends its
            process with the message on stderr.
        arguments: its arguments.
        count: number of processes.

    Raises:
        RuntimeError: one of them failed, or was stopped.
    """
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(given(), work, *arguments)) for _ in range(count)]
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # torch reads it when it is loaded
    try:
        _start(workers)
        for worker in workers:
            worker.join()
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
        _end(workers)
    failed = sum(worker.exitcode != 0 for worker in workers)
    if failed:
        raise RuntimeError(f"{failed} of {count} processes failed, see above; what is finished is kept")


def _start(workers: Sequence[BaseProcess]) -> None:
    """Start processes that never get SIGINT, which a terminal sends to all: this process decides when they end."""
    multiprocessing.resource_tracker.ensure_running()  # it would change the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        for worker in workers:
            worker.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(workers: Sequence[BaseProcess]) -> None:
    """End processes, if need be by force."""
    running = [worker for worker in workers if worker.pid is not None and worker.is_alive()]
    for worker in running:
        worker.terminate()
    end = time.monotonic() + 3 * PATIENCE
    for worker in running:
        worker.join(max(0.0, end - time.monotonic()))
        worker.kill()
        worker.join()


def _work(allowed: Sequence[str], work: Callable[..., None], *arguments: Any) -> None:
    """Work as one of several processes; end with the one that started them, however that ends."""
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    try:
        with stoppable(patient=True), allowing(*allowed):
            work(*arguments)
    except (ValueError, RuntimeError) as error:
        say(str(error))
        sys.exit(1)
    except Stopped as stop:
        sys.exit(stop.code)
    finally:
        end_quietly()


def say(words: str) -> None:
    """Print a message on stderr while runs are made."""
    print(words, file=sys.stderr, flush=True)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
