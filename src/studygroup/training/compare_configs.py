"""Compare configurations over seeds; every cell is a run folder, so that finished work is not repeated."""

import csv
import dataclasses
import io
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studygroup.files import read_object, write_text
from studygroup.naming import did_you_mean
from studygroup.training.callbacks import NonFiniteLossError
from studygroup.training.cluster import Outcome, Place, check_place, on_ray
from studygroup.training.comparison import table
from studygroup.training.computing import computing
from studygroup.training.folder import RunFolder, exclusive
from studygroup.training.grid import in_processes, run_grid
from studygroup.training.half import settled
from studygroup.training.load_run import Run
from studygroup.training.migrate import upgraded
from studygroup.training.plain import as_kind
from studygroup.training.processes import check_one_process
from studygroup.training.read_yaml import read_yaml
from studygroup.training.run import train
from studygroup.training.settings import Settings
from studygroup.training.step_cost import measure_step_cost
from studygroup.training.summary import TextFigures
from studygroup.untrusted import check_tree


def compare(
    configs: Sequence[str],
    *,
    overrides: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    run_dir: str = "runs/compare",
    jobs: int | None = None,
    on: Place = "here",
    cluster: dict[str, Any] | None = None,
    progress_bar: bool = True,
) -> list[dict[str, Any]]:
    """Train every configuration with every seed and write a table of mean and spread.

    All configurations run with the first seed, then all with the second, and so on; the table is rewritten after each
    seed. A cell is the folder `<run_dir>/<configuration>-<seed>`. Finished cells are skipped, and an interrupted one
    resumes. One call at a time works on a folder; `jobs` shares its cells among processes. In each cell the student
    is chosen on the hold-out rows and scored on the test rows afterwards; the table keeps the two scores apart and
    chooses no configuration.

    Args:
        configs: configuration files, as `studygroup train --config` takes them; their own seed is not used.
        overrides: plain values by the dotted names of the command line, such as `{"epochs": 5, "rate": "Cosine"}`,
            in place of those of every configuration; told in `comparison.md`.
        seeds: seeds with which every configuration is trained.
        run_dir: folder of the cells, `comparison.csv` with a line per finished cell, and `comparison.json` and
            `comparison.md` with one per configuration.
        jobs: number of simultaneous runs: here processes, of one thread each if there are several (omitted, 1); on a
            cluster a maximum (omitted, as many as fit).
        on: this machine (`here`), or a cluster of Ray that sees `run_dir` and the data (`ray`). A run whose machine
            is lost goes on from its checkpoint at another.
        cluster: options of Ray, such as `{"init": {"address": "auto"}, "task": {"num_gpus": 1}}`.
        progress_bar: whether to draw progress bars.

    Returns:
        One row per configuration with a finished cell: `name`, `n`, and mean and sample standard deviation (`None`
        for one seed) of `holdout`, `test`, its `top5`, `students_mean` and `ensemble`; `classes`; `updates`, and
        `step_cost`, the ratio of step times to the plain network's on the same rows; for texts also
        `tokens_per_second` of training and `padding`, the share of positions that hold no token, medians over epochs
        and seeds.

    Raises:
        NonFiniteLossError: the loss of a cell became infinite or not a number; all others are trained.
        RuntimeError: one of several processes, or a run on a cluster, failed; all others are trained.
        UnavailableError: data could not be opened; the cells on other data are trained.
        ValueError: no configuration or seed, two files of the same name, an override of what is no setting, a cell
            that belongs to another configuration, or Ray is missing or refuses what is in `cluster`.
        FolderInUseError: another process compares in the folder, or trains in one of its cells.
    """
    names = [Path(config).stem for config in configs]
    if not configs or not seeds or len(set(names)) < len(names) or len(set(seeds)) < len(seeds):
        raise ValueError(
            f"configs={names}, seeds={list(seeds)}; give at least one of each, files of different names, and "
            "each seed once"
        )
    changes = _checked(overrides or {})
    chosen = {name: _read(Path(config), changes) for name, config in zip(names, configs, strict=True)}
    for settings in chosen.values():
        check_one_process(settings, of="compare")
    check_place(on, cluster, jobs)
    folder = Path(run_dir)
    check_tree(folder)
    cells = [_Cell(name, seed, settings, folder) for seed in seeds for name, settings in chosen.items()]
    diverged: list[str] = []
    rows: list[dict[str, Any]] = []

    def write() -> list[dict[str, Any]]:
        return _write(chosen, cells, folder, changes, elsewhere=on == "ray")

    def ended(cell: _Cell, outcome: Outcome) -> None:
        if outcome.stopped:
            diverged.append(f"{cell.folder}: {outcome.words}")
        write()

    with exclusive(folder):
        if on == "ray":
            works = [dataclasses.replace(cell, run_dir=folder.absolute()) for cell in cells]
            on_ray(works, ended, logs=folder / "jobs", jobs=jobs, cluster=cluster or {})
            rows = write()
        elif jobs is not None and jobs > 1:
            try:
                in_processes(_train_all, cells, count=jobs)
            finally:
                rows = write()
        else:
            for seed in seeds:
                diverged += _train([cell for cell in cells if cell.seed == seed], progress_bar=progress_bar)
                rows = write()
    if diverged:
        raise NonFiniteLossError("\n".join(diverged))
    return rows


@dataclass(frozen=True)
class _Cell:
    """A configuration with a seed; as a piece of work for a cluster, it measures the cost of a step, too."""

    configuration: str
    seed: int
    base: Settings
    run_dir: Path

    def __str__(self) -> str:
        return f"{self.configuration}, seed {self.seed}"

    @property
    def name(self) -> str:
        return f"{self.configuration}-{self.seed}"

    @property
    def folder(self) -> Path:
        return self.run_dir / self.name

    @property
    def data_name(self) -> str:
        return str(self.base.data)

    def train(self, *, progress_bar: bool) -> None:
        settings = dataclasses.replace(self.base, seed=self.seed, baseline=False)
        train(settings, run_dir=self.folder, resume=True, progress_bar=progress_bar)

    def __call__(self) -> None:
        self.train(progress_bar=False)
        folder = RunFolder(self.folder)
        _step_cost(self.base, Run(folder, folder.read_summary()))


def _train(cells: Sequence[_Cell], *, progress_bar: bool) -> list[str]:
    """Train cells in order, and return those whose loss became infinite or not a number."""
    diverged: list[str] = []
    run_grid(
        cells,
        lambda cell: cell.train(progress_bar=progress_bar),
        folder=lambda cell: RunFolder(cell.folder),
        diverged=lambda cell, error: diverged.append(f"{cell.folder}: {error}"),
    )
    return diverged


def _train_all(cells: Sequence[_Cell]) -> None:
    """Train cells as one of several processes."""
    diverged = _train(cells, progress_bar=False)
    if diverged:
        raise NonFiniteLossError("\n".join(diverged))


def _write(
    chosen: Mapping[str, Settings],
    cells: Sequence[_Cell],
    run_dir: Path,
    changes: Mapping[str, Any],
    *,
    elsewhere: bool,
) -> list[dict[str, Any]]:
    """Write the tables of the cells that are finished, and return the rows of `comparison.json`.

    A cell that is trained `elsewhere` is finished when the cost of its step has been measured there.
    """
    finished: dict[str, dict[int, Run]] = {name: {} for name in chosen}
    for cell in cells:
        folder = RunFolder(cell.folder)
        if folder.summary.exists() and (not elsewhere or _measured(cell.base, folder)):
            finished[cell.configuration][cell.seed] = Run(folder, folder.read_summary())
    runs = [
        (name, seed, run.summary.figures()) for name, own in finished.items() for seed, run in own.items()
    ]
    tidy = io.StringIO()
    if runs:
        writer = csv.writer(tidy, lineterminator="\n")
        writer.writerow(["name", "seed", *runs[0][2]])
        writer.writerows([name, seed, *figures.values()] for name, seed, figures in runs)
    write_text(run_dir / "comparison.csv", tidy.getvalue())
    rows = [_row(name, settings, finished[name]) for name, settings in chosen.items() if finished[name]]
    write_text(run_dir / "comparison.json", json.dumps(rows, indent=2) + "\n")
    write_text(run_dir / "comparison.md", table(rows) + overridden(changes))
    return rows


def overridden(changes: Mapping[str, Any]) -> str:
    """Say what stands in place of every configuration's own values; empty where nothing does."""
    said = ", ".join(f"{name} = {json.dumps(value)}" for name, value in changes.items())
    return f"\nIn place of every configuration's own: {said}.\n" if changes else ""


def _checked(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse overrides of what is no setting, or what a comparison decides itself."""
    names = [field.name for field in dataclasses.fields(Settings)]
    for name in overrides:
        first = name.partition(".")[0]
        if first not in names:
            raise ValueError(
                f"there is no setting {name!r} to override{did_you_mean(first, names)}; names are those of "
                "`studygroup train --help`"
            )
        if first in ("seed", "baseline"):
            instead = "--seeds" if first == "seed" else "a configuration of the recipe baseline"
            raise ValueError(f"{first} cannot be overridden in a comparison; give {instead}")
    return dict(overrides)


def _read(config: Path, overrides: Mapping[str, Any]) -> Settings:
    """Read the settings of a configuration file, with other values in place of its own."""
    try:
        values = read_yaml(config)
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split())
        raise ValueError(f"{config} cannot be read as a configuration: {said}") from error
    if not isinstance(values, dict):
        what = "empty" if values is None else f"a {type(values).__name__}"
        raise ValueError(f"{config} is {what}, where settings stand by names")
    return Settings.from_config(upgraded(values), where=config, overrides=overrides)


def _row(name: str, settings: Settings, by_seed: Mapping[int, Run]) -> dict[str, Any]:
    """Summarise the finished cells of one configuration as a row."""
    cells = list(by_seed.values())
    figures = [cell.summary.figures() for cell in cells]
    texts = [cell.summary.run.texts for cell in cells if cell.summary.run.texts is not None]
    speeds = {
        field.name: statistics.median(getattr(one, field.name) for one in texts)
        for field in dataclasses.fields(TextFigures)
        if texts
    }
    return {
        "name": name,
        "n": len(cells),
        "seeds": list(by_seed),
        **_spread("holdout", [one["holdout"] for one in figures]),
        **_spread("test", [one["test"] for one in figures]),
        **_spread("top5", [one["test_top5"] for one in figures]),
        **_spread("students_mean", [one["students_mean"] for one in figures]),
        **_spread("ensemble", [one["ensemble"] for one in figures]),
        "classes": figures[0]["classes"],
        "updates": figures[0]["updates"],
        "step_cost": _step_cost(settings, cells[0]),
        **speeds,
    }


def _spread(name: str, values: Sequence[float]) -> dict[str, float | None]:
    std = statistics.stdev(values) if len(values) > 1 else None
    return {name: statistics.fmean(values), f"{name}_std": std}


def _cost(folder: RunFolder) -> Path:
    return folder.path / "cost.json"


def _measured(settings: Settings, folder: RunFolder) -> bool:
    """Say whether the cost of a step is known: by definition for the plain network, else once a cell keeps it."""
    return settings.method_name == "baseline" or _cost(folder).exists()


def _step_cost(settings: Settings, cell: Run) -> float:
    """Return the step time over the plain network's, measured once on the training machine and kept in the cell."""
    if settings.method_name == "baseline":
        return 1.0
    kept = _cost(cell.folder)
    if not _measured(settings, cell.folder):
        data = settings.load_data()
        own = settled(settings, data, cell.folder)
        with computing(own):
            cost = measure_step_cost(own, data, device=own.device)
        write_text(kept, json.dumps(dataclasses.asdict(cost), indent=2) + "\n")
    again = "remove it, the step is measured again"
    found = read_object(kept, way_out=again, holds=("ratio",))
    try:
        ratio: float = as_kind(float, found["ratio"], "ratio")
    except ValueError as error:
        raise ValueError(f"{kept} {error}; {again}") from error
    return ratio
