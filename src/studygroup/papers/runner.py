"""Trains what is missing of a table: every run once, whoever asks for it, in one process or several."""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from studygroup.papers.lab import Lab
from studygroup.papers.results import figures, keep
from studygroup.papers.tables import Cell, Table
from studygroup.training.folder import held
from studygroup.training.guard import NonFiniteLossError
from studygroup.training.run import train


@dataclass(frozen=True)
class Run:
    """A run of a table.

    Attributes:
        cell: first of the table's cells that have this configuration.
        key: of the configuration.
        seed: of the run.
    """

    cell: Cell
    key: str
    seed: int

    def __str__(self) -> str:
        return f"{self.cell.label}, seed {self.seed}"


def wanted(table: Table, lab: Lab, *, seeds: int, only: Sequence[str] = ()) -> tuple[Run, ...]:
    """The runs of a table: all cells with seed 0, then all with seed 1, and so on.

    Args:
        table: whose cells are run.
        lab: where and how.
        seeds: how many, from 0.
        only: what to choose, such as `CIFAR-100, CGL`: cells that have all these words in their labels; of several
            choices any. Omitted, all cells.

    Raises:
        ValueError: the table is published only, or no cell is called so.
    """
    if not table.runnable:
        raise ValueError(f"{table.id} holds published numbers only; nothing is trained for it")
    cells: dict[str, Cell] = {}
    for cell in table.runnable:
        if not only or any(chosen(cell, words) for words in only):
            cells.setdefault(lab.key(cell), cell)
    if not cells:
        labels = "; ".join(cell.label for cell in table.runnable)
        raise ValueError(f"no cell of {table.id} has the words {' or '.join(only)}; the cells are {labels}")
    return tuple(Run(cell, key, seed) for seed in range(seeds) for key, cell in cells.items())


def chosen(cell: Cell, words: str) -> bool:
    """Whether a cell has all of some words, split by `, `, in its labels; a column's label is one word.

    Args:
        cell: of any table.
        words: such as `ResNet-18, CIFAR-100, CGL`.
    """
    row, column = cell.place
    return {*words.split(", ")} <= {*row.split(", "), column}


def missing(runs: Sequence[Run], lab: Lab) -> tuple[Run, ...]:
    """The runs without a result.

    Args:
        runs: of any table.
        lab: where they are, or may be, kept.

    Raises:
        ValueError: the results of a run are of other data.
    """
    known = lab.known()
    for run in runs:
        assert run.cell.data is not None
        name = Path(lab.place(run.cell.data)).name
        if run.key in known and known[run.key].data != name:
            raise ValueError(
                f"{lab.kept} has results on {known[run.key].data} where {name} is asked for ({run}); give another "
                "--run_dir and --results"
            )
    return tuple(run for run in runs if run.key not in known or run.seed not in known[run.key].runs)


def work(table: Table, lab: Lab, runs: Sequence[Run]) -> None:
    """Does runs in order, but for those that another process has in hand or has finished.

    A run that was begun goes on where it was. One whose loss is no number any more is left, and said so.

    Args:
        table: that they belong to.
        lab: where and how.
        runs: in order.

    Raises:
        ValueError: data, network or recipe do not fit together.
    """
    for number, run in enumerate(runs, 1):
        with held(lab.folder(run.key, run.seed).path) as free:
            if not free or not missing([run], lab):
                continue
            _say(f"{table.id}, run {number} of {len(runs)}: {run}")
            try:
                _do(table, lab, run)
            except NonFiniteLossError as error:
                _say(f"{run}: {error}")


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
    """One of several processes."""
    torch.set_num_threads(1)
    try:
        work(table, lab, runs)
    except (ValueError, RuntimeError) as error:
        _say(str(error))
        sys.exit(1)


def _do(table: Table, lab: Lab, run: Run) -> None:
    """One run, from wherever it is, and its result."""
    settings = lab.settings(run.cell, seed=run.seed)
    result = train(settings, run_dir=lab.folder(run.key, run.seed).path, resume=True, progress_bar=False)
    named = lab.config(run.cell) | {"data": Path(settings.data).name}
    keep(lab.kept, table, run.cell, run.key, seed=run.seed, settings=named, found=figures(result))


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
