"""The runs of a table: each is trained once, whoever asks for it."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reproduction.lab import Lab
from reproduction.measures import build_task
from reproduction.results import Found, add_stopped, keep
from reproduction.tables import Cell, Figures, Table
from studygroup.analysis import analyse
from studygroup.analysis.convergence import way
from studygroup.analysis.cost import parameters
from studygroup.training.callbacks import NonFiniteLossError
from studygroup.training.grid import run_grid
from studygroup.training.load_run import Run as FinishedRun
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
    def data_name(self) -> str:
        """Name of the data set."""
        assert self.cell.data is not None
        return self.cell.data.name

    @property
    def name(self) -> str:
        """Name in folders and files."""
        return f"{self.key}-{self.seed}"


def wanted_runs(table: Table, lab: Lab, *, seeds: int, only: Sequence[str] = ()) -> tuple[Run, ...]:
    """Return the runs of a table: all cells with seed 0, then all with seed 1, and so on.

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
        if not only or any(has_words(cell, words) for words in only):
            cells.setdefault(lab.key(cell), cell)
    if not cells:
        labels = "; ".join(cell.label for cell in table.runnable)
        raise ValueError(f"no cell of {table.id} has the words {' or '.join(only)}; the cells are {labels}")
    return tuple(Run(cell, key, seed) for seed in range(seeds) for key, cell in cells.items())


def has_words(cell: Cell, words: str) -> bool:
    """Return whether a cell has all words, as in `ResNet-18, CIFAR-100, CGL`, in its labels."""
    return {*words.replace(" | ", ", ").split(", ")} <= {
        word for label in cell.place for word in label.split(", ")
    }


def with_data(runs: Sequence[Run], lab: Lab) -> tuple[Run, ...]:
    """Return the runs whose data have a place, and name the others; fail where there are none but those.

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


def missing_runs(runs: Sequence[Run], lab: Lab) -> tuple[Run, ...]:
    """Return the runs without a result, or whose figures lack something: an analysis, or what was not kept before.

    Those that ended without figures are not among them: they would end so again, see `results.read_stopped`.

    Raises:
        ValueError: the results of a run are of other data.
    """
    known, ended = lab.read_results(), lab.read_stopped()
    for run in runs:
        assert run.cell.data is not None
        name = Path(lab.place(run.cell.data)).name
        if run.key in known and known[run.key].data != name:
            raise ValueError(
                f"{lab.results_dir} has results on {known[run.key].data} where {name} is asked for ({run}); give "
                "another --run_dir and --results"
            )
    left = (run for run in runs if run.name not in ended)
    return tuple(run for run in left if _lacks(run, known.get(run.key), lab))


def _lacks(run: Run, found: Found | None, lab: Lab) -> bool:
    """Return whether a run is not finished, or its figures lack something that can be had without training again."""
    if found is None or run.seed not in found.runs:
        return True
    figures, analysis = found.runs[run.seed], run.cell.measure.analysis
    if analysis is not None and analysis not in figures:
        return True
    return "curve" not in figures and is_trained(run, lab)


def is_trained(run: Run, lab: Lab) -> bool:
    """Return whether the folder of a run holds it finished."""
    return lab.folder(run.key, run.seed).summary.exists()


def train_runs(table: Table, lab: Lab, runs: Sequence[Run]) -> None:
    """Train runs in order, except those that another process is working on or has finished.

    A run that was begun goes on where it was. One whose loss is no number any more is left, told and written down.
    Runs whose data cannot be opened do not keep the others from being made.

    Raises:
        UnavailableError: data could not be opened; the runs on other data are done.
        ValueError: data, network or recipe do not fit together.
    """

    def one(run: Run) -> None:
        path = lab.folder(run.key, run.seed).path
        say(f"{table.id}, run {runs.index(run) + 1} of {len(runs)}: {run}, in {path}")
        keep_run(table, lab, run, make(lab, run))

    def diverged(run: Run, error: NonFiniteLossError) -> None:
        say(f"{run}: {error}")
        add_stopped(lab.results_dir, run.name, str(error))

    run_grid(
        runs,
        one,
        folder=lambda run: lab.folder(run.key, run.seed),
        needed=lambda run: bool(missing_runs([run], lab)),
        diverged=diverged,
    )


def make(lab: Lab, run: Run) -> Figures:
    """Make a run, from wherever it is, or find it finished; then the analysis that its cell asks for.

    Args:
        lab: where and how.
        run: whose folder this process holds.

    Returns:
        Its figures, see `figures`, and the analysis by its name.

    Raises:
        NonFiniteLossError: the loss became infinite or not a number.
        ValueError: data, network or recipe do not fit together.
    """
    settings = lab.settings(run.cell, seed=run.seed)
    folder = lab.folder(run.key, run.seed)
    found = figures(train(settings, run_dir=folder.path, resume=True, progress_bar=False))
    name = run.cell.measure.analysis
    return found if name is None else found | {name: analyse(folder, name)}


def figures(result: FinishedRun) -> dict[str, Any]:
    """Return what is kept of a finished run; accuracies are shares.

    `seconds` are those of the clock, `spent` those that runs can be compared by: of the processor, all threads added
    up, where it trained, of the clock on a GPU; None in runs that did not take them.

    All is read in the run folder: the figures of a run that was finished long ago can be renewed.
    """
    summary = result.summary
    curve = way(result.folder.metrics, device=summary.run.device)
    spent = curve.get("spent")
    return {
        **summary.figures(),
        "spent": spent[-1] if spent else None,
        "parameters": _parameters(result),
        "curve": curve,
    }


def _parameters(result: FinishedRun) -> int:
    """Return the number of parameters in training, what does not ship included."""
    settings, facts = result.settings, result.summary.run
    return parameters(
        build_task(settings.recipe, network=dict(facts.model), form=dict(facts.form), seed=settings.seed)
    )


def keep_run(
    table: Table, lab: Lab, run: Run, found: Figures, *, where: Mapping[str, Any] | None = None
) -> None:
    """Keep the figures of a finished run; `where` is the `provenance` of another process that made it."""
    assert run.cell.data is not None
    settings = lab.config(run.cell) | {"data": Path(lab.place(run.cell.data)).name}
    keep(lab.results_dir, table, run.cell, run.key, seed=run.seed, settings=settings, found=found, made=where)


def say(words: str) -> None:
    """Print something on stderr while runs are made."""
    print(words, file=sys.stderr, flush=True)
