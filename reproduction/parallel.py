"""Runs in several processes of this machine."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from threading import Thread

import torch

from reproduction.lab import Lab
from reproduction.runner import Run, say, train_runs
from reproduction.tables import Table


def side_by_side(table: Table, lab: Lab, runs: Sequence[Run], *, jobs: int) -> None:
    """Train runs in several processes of one thread each.

    Raises:
        RuntimeError: one of them failed.
    """
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_worker, args=(table, lab, runs)) for _ in range(jobs)]
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # torch reads it when it is loaded
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
        for worker in workers:
            worker.terminate()
    failed = sum(worker.exitcode != 0 for worker in workers)
    if failed:
        raise RuntimeError(f"{failed} of {jobs} processes failed, see above; what is finished is kept")


def _worker(table: Table, lab: Lab, runs: Sequence[Run]) -> None:
    """Work as one of several processes; end with the one that started them, however that ends."""
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    try:
        train_runs(table, lab, runs)
    except (ValueError, RuntimeError) as error:
        say(str(error))
        sys.exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
