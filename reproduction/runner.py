"""Trains what is missing of a table: every run once, whoever asks for it."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reproduction import stopped
from reproduction.figures import figures
from reproduction.keys import run_name
from reproduction.lab import Lab
from reproduction.results import Found, keep
from reproduction.tables import Cell, Figures, Table
from studygroup.analysis import analyse
from studygroup.data import UnavailableError
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

    @property
    def name(self) -> str:
        """In folders and files."""
        return run_name(self.key, self.seed)


def wanted(table: Table, lab: Lab, *, seeds: int, only: Sequence[str] = ()) -> tuple[Run, ...]:
    """The runs of a table: all cells with seed 0, then all with seed 1, and so on.

    Args:
        table: whose cells are run.
        lab: where and how.
        seeds: how many, from 0.
        only: what to choose, such as `CIFAR-100, CGL`: cells that have all these words in their labels; of several
            choices any. Omitted, all cells.

    Raises:
        ValueError: nothing is trained for the table, or no cell is called so.
    """
    if not table.runnable:
        raise ValueError(
            f"nothing is trained for {table.id}, which is {table.untrained}; see it with "
            "`python -m reproduction show`"
        )
    cells: dict[str, Cell] = {}
    for cell in table.runnable:
        if not only or any(chosen(cell, words) for words in only):
            cells.setdefault(lab.key(cell), cell)
    if not cells:
        labels = "; ".join(cell.label for cell in table.runnable)
        raise ValueError(f"no cell of {table.id} has the words {' or '.join(only)}; the cells are {labels}")
    return tuple(Run(cell, key, seed) for seed in range(seeds) for key, cell in cells.items())


def chosen(cell: Cell, words: str) -> bool:
    """Whether a cell has all of some words in its labels, all split by `, ` or ` | `.

    Args:
        cell: of any table.
        words: such as `ResNet-18, CIFAR-100, CGL`.
    """
    return {*words.replace(" | ", ", ").split(", ")} <= {
        word for label in cell.place for word in label.split(", ")
    }


def at_home(runs: Sequence[Run], lab: Lab) -> tuple[Run, ...]:
    """The runs whose data have a place; the others are named, unless there are none but them.

    Args:
        runs: of any table.
        lab: where data are.

    Raises:
        ValueError: none of the runs has data.
    """
    sets = {data.short: data for run in runs if (data := run.cell.data)}
    homeless = {short: data for short, data in sets.items() if lab.data.get(short, data.place) is None}
    left = tuple(run for run in runs if run.cell.data and run.cell.data.short not in homeless)
    if not left:
        for data in homeless.values():
            lab.place(data)
    for data in homeless.values():
        say(f"left out: {data.name} has no place; give --data {data.short}=FOLDER")
    return left


def missing(runs: Sequence[Run], lab: Lab) -> tuple[Run, ...]:
    """The runs without a result, or whose figures lack something: an analysis, or what was not kept before.

    Those that ended without figures are not among them: they would end so again, see `reproduction.stopped`.

    Args:
        runs: of any table.
        lab: where they are, or may be, kept.

    Raises:
        ValueError: the results of a run are of other data.
    """
    known, ended = lab.known(), lab.ended()
    for run in runs:
        assert run.cell.data is not None
        name = Path(lab.place(run.cell.data)).name
        if run.key in known and known[run.key].data != name:
            raise ValueError(
                f"{lab.kept} has results on {known[run.key].data} where {name} is asked for ({run}); give another "
                "--run_dir and --results"
            )
    left = (run for run in runs if run.name not in ended)
    return tuple(run for run in left if _lacks(run, known.get(run.key), lab))


def _lacks(run: Run, found: Found | None, lab: Lab) -> bool:
    """Whether a run is not finished, or its figures lack something that can be had without training again."""
    if found is None or run.seed not in found.runs:
        return True
    figures, analysis = found.runs[run.seed], run.cell.measure.analysis
    if analysis is not None and analysis not in figures:
        return True
    return "curve" not in figures and trained(run, lab)


def trained(run: Run, lab: Lab) -> bool:
    """Whether the folder of a run holds it finished.

    Args:
        run: of any table.
        lab: where it is, or may be.
    """
    return lab.folder(run.key, run.seed).summary.exists()


def work(table: Table, lab: Lab, runs: Sequence[Run]) -> None:
    """Does runs in order, but for those that another process has in hand or has finished.

    A run that was begun goes on where it was. One whose loss is no number any more is left, told and written down.
    Runs whose data cannot be opened do not keep the others from being made.

    Args:
        table: that they belong to.
        lab: where and how.
        runs: in order.

    Raises:
        UnavailableError: data could not be opened; the runs on other data are done.
        ValueError: data, network or recipe do not fit together.
    """

    def one(run: Run) -> None:
        path = lab.folder(run.key, run.seed).path
        with held(path) as free:
            if not free or not missing([run], lab):
                return
            say(f"{table.id}, run {runs.index(run) + 1} of {len(runs)}: {run}, in {path}")
            try:
                kept(table, lab, run, made(lab, run))
            except NonFiniteLossError as error:
                say(f"{run}: {error}")
                stopped.add(lab.kept, run.name, str(error))

    each(runs, one)


def each(runs: Sequence[Run], one: Callable[[Run], None]) -> None:
    """Does one thing with each run; runs on data that cannot be opened are passed over, and told at the end.

    Args:
        runs: in order.
        one: what is done, which opens the data.

    Raises:
        UnavailableError: data could not be opened; it is done with the runs on other data.
    """
    closed: dict[str, UnavailableError] = {}
    for run in runs:
        assert run.cell.data is not None
        if run.cell.data.name not in closed:
            try:
                one(run)
            except UnavailableError as error:
                closed[run.cell.data.name] = error
    if closed:
        raise UnavailableError("; ".join(f"{name}: {error}" for name, error in closed.items()))


def made(lab: Lab, run: Run) -> Figures:
    """Makes a run, from wherever it is, or finds it finished; then the analysis that its cell asks for.

    Args:
        lab: where and how.
        run: whose folder this process holds.

    Raises:
        NonFiniteLossError: the loss became infinite or not a number.
        ValueError: data, network or recipe do not fit together.
    """
    settings = lab.settings(run.cell, seed=run.seed)
    folder = lab.folder(run.key, run.seed)
    found = figures(train(settings, run_dir=folder.path, resume=True, progress_bar=False))
    name = run.cell.measure.analysis
    return found if name is None else found | {name: analyse(folder, name)}


def kept(table: Table, lab: Lab, run: Run, found: Figures, *, where: Mapping[str, Any] | None = None) -> None:
    """Keeps the figures of a finished run.

    Args:
        table: that it was made for.
        lab: where and how.
        run: that is finished.
        found: its figures.
        where: machine, versions and command of another process that made it.
    """
    assert run.cell.data is not None
    settings = lab.config(run.cell) | {"data": Path(lab.place(run.cell.data)).name}
    keep(lab.kept, table, run.cell, run.key, seed=run.seed, settings=settings, found=found, made=where)


def say(words: str) -> None:
    """Says something while runs are made."""
    print(words, file=sys.stderr, flush=True)
