"""Runs in several processes of this machine."""

import multiprocessing
import multiprocessing.resource_tracker
import os
import signal
import sys
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from threading import Thread

import torch

from reproduction.lab import Lab
from reproduction.runner import Run, say, train_runs
from reproduction.tables import Table
from studygroup.stopping import PATIENCE, Stopped, stoppable


def side_by_side(table: Table, lab: Lab, runs: Sequence[Run], *, jobs: int) -> None:
    """Train runs in several processes of one thread each.

    They end with this process: asked to stop, they finish the epoch at hand if that is quick.

    Raises:
        RuntimeError: one of them failed, or was stopped.
    """
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_worker, args=(table, lab, runs)) for _ in range(jobs)]
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
        raise RuntimeError(f"{failed} of {jobs} processes failed, see above; what is finished is kept")


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


def _worker(table: Table, lab: Lab, runs: Sequence[Run]) -> None:
    """Work as one of several processes; end with the one that started them, however that ends."""
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    try:
        with stoppable(patient=True):
            train_runs(table, lab, runs)
    except (ValueError, RuntimeError) as error:
        say(str(error))
        sys.exit(1)
    except Stopped as stop:
        sys.exit(stop.code)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
