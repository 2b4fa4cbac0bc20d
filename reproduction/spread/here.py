"""Runs on one machine, in this process or in several."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from threading import Thread
from typing import Any

import torch

from reproduction.lab import Lab
from reproduction.runner import Run, say, work
from reproduction.spread.submissions import unsubmitted
from reproduction.tables import Table


def here(
    table: Table, lab: Lab, runs: Sequence[Run], *, jobs: int | None, cluster: Mapping[str, Any]
) -> None:
    """Does runs on this machine; those that were given to a cluster are left to it.

    Args:
        table: that they belong to.
        lab: where and how.
        runs: in order.
        jobs: how many processes; None is this one.
        cluster: has no meaning here.

    Raises:
        RuntimeError: a process failed.
        ValueError: there is something in `cluster`; data, network or recipe do not fit together.
    """
    if cluster:
        raise ValueError(
            f"--cluster {dict(cluster)} is for --on slurm or ray; give one of them, or leave it out"
        )
    runs = unsubmitted(lab, runs)
    if (jobs or 1) > 1 and runs:
        side_by_side(table, lab, runs, jobs=jobs or 1)
    else:
        work(table, lab, runs)


def side_by_side(table: Table, lab: Lab, runs: Sequence[Run], *, jobs: int) -> None:
    """Does runs in several processes of one thread each.

    Args:
        table: that they belong to.
        lab: where and how.
        runs: in order.
        jobs: how many processes.

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
    """One of several processes, which ends with the one that started it, however that ends."""
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    try:
        work(table, lab, runs)
    except (ValueError, RuntimeError) as error:
        say(str(error))
        sys.exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
