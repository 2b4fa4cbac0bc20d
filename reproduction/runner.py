"""The runs of a table; each is trained once, however many tables need it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reproduction.equal_cost import AS_LONG
from reproduction.lab import Lab
from reproduction.measures import build_task
from reproduction.results import Found, add_stopped, keep
from reproduction.tables import Cell, Figures, Table
from studygroup.analysis import analyse
from studygroup.analysis.convergence import way
from studygroup.analysis.cost import parameters
from studygroup.training.callbacks import NonFiniteLossError
from studygroup.training.grid import run_grid, say
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
        table: the table whose cells are run.
        lab: where and how.
        seeds: how many, from 0.
        only: selections such as `CIFAR-100, CGL`: cells whose labels contain all these words, of any selection;
            omitted, all cells.

    Raises:
        ValueError: nothing is trained for the table, or no cell has these words.
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
    """Return whether a cell has all words, as in `ResNet-18, CIFAR-100, CGL`, in its labels.

    The plain network that is trained for as long as a method has to be named: `CIFAR-100, CGL, plain for as long`.
    """
    asked = {*words.replace(" | ", ", ").split(", ")}
    own = {word for label in cell.place for word in label.split(", ")}
    return asked <= own and (AS_LONG in asked or AS_LONG not in own)


def with_data(runs: Sequence[Run], lab: Lab) -> tuple[Run, ...]:
    """Return the runs whose data have a place, and name the others; fail if there are no such runs.

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
    """Return the runs without a result, or whose figures lack an analysis or what older versions did not save.

    Runs that ended without figures are left out: they would end in the same way, see `results.read_stopped`.

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
    """Return whether a run is unfinished, or its figures lack something that can be added without training again."""
    if found is None or run.seed not in found.runs:
        return True
    figures, analysis = found.runs[run.seed], run.cell.measure.analysis
    if analysis is not None and analysis not in figures:
        return True
    return "curve" not in figures and is_trained(run, lab)


def is_trained(run: Run, lab: Lab) -> bool:
    """Return whether the folder of a run holds a finished run."""
    return lab.folder(run.key, run.seed).summary.exists()


def train_runs(table: Table, lab: Lab, runs: Sequence[Run]) -> None:
    """Train runs in order, except those that another process is working on or has finished.

    A run that was started resumes. One whose loss becomes infinite or NaN is given up, reported and recorded. If the
    data of some runs cannot be opened, the others are still made.

    Raises:
        UnavailableError: data could not be opened; the runs on other data are finished.
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
    """Train a run, resume it or find it finished; then make the analysis that its cell needs.

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
    """Return the saved figures of a finished run; accuracies are shares.

    `seconds` are wall-clock time. `spent` is what runs are compared by: CPU time, summed over all threads, or
    wall-clock time on a GPU; None in runs that did not record it. `device` says which.

    Everything is read from the run folder, so the figures of old runs can be updated.
    """
    summary = result.summary
    curve = way(result.folder.metrics, device=summary.run.device)
    spent = curve.get("spent")
    return {
        **summary.figures(),
        "device": summary.run.device,
        "spent": spent[-1] if spent else None,
        "parameters": _parameters(result),
        "curve": curve,
    }


def _parameters(result: FinishedRun) -> int:
    """Return the number of parameters in training, including those that do not ship."""
    settings, facts = result.settings, result.summary.run
    return parameters(
        build_task(settings.recipe, network=dict(facts.model), form=dict(facts.form), seed=settings.seed)
    )


def keep_run(
    table: Table, lab: Lab, run: Run, found: Figures, *, where: Mapping[str, Any] | None = None
) -> None:
    """Save the figures of a finished run; `where` is the `provenance` of another process that made it."""
    assert run.cell.data is not None
    settings = lab.config(run.cell) | {"data": Path(lab.place(run.cell.data)).name}
    keep(lab.results_dir, table, run.cell, run.key, seed=run.seed, settings=settings, found=found, made=where)
