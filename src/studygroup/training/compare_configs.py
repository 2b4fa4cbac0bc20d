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
from studygroup.training.callbacks import NonFiniteLossError
from studygroup.training.comparison import table
from studygroup.training.folder import RunFolder, exclusive
from studygroup.training.grid import run_grid
from studygroup.training.load_run import Run
from studygroup.training.migrate import upgraded
from studygroup.training.read_yaml import read_yaml
from studygroup.training.run import train
from studygroup.training.settings import Settings, cpu_threads
from studygroup.training.step_cost import measure_step_cost
from studygroup.training.summary import TextFigures
from studygroup.untrusted import check_tree


def compare(
    configs: Sequence[str],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    run_dir: str = "runs/compare",
    progress_bar: bool = True,
) -> list[dict[str, Any]]:
    """Train every configuration with every seed and write a table of mean and spread.

    All configurations run with the first seed, then all with the second, and so on; the table is rewritten after each
    seed. A cell is the folder `<run_dir>/<configuration>-<seed>`. Finished cells are skipped, and an interrupted one
    resumes. Several calls may work on one folder at a time: a cell that another process is training is left to it. In
    each cell the student is chosen on the hold-out rows and scored on the test rows afterwards; the table
    keeps the two scores apart and chooses no configuration.

    Args:
        configs: configuration files, as `studygroup train --config` takes them; their own seed is not used.
        seeds: seeds with which every configuration is trained.
        run_dir: folder of the cells, `comparison.csv` with a line per finished cell, and `comparison.json` and
            `comparison.md` with one per configuration.
        progress_bar: whether to draw progress bars.

    Returns:
        One row per configuration with a finished cell: `name`, `n`, and mean and sample standard deviation (`None`
        for one seed) of `holdout`, `test`, its `top5`, `students_mean` and `ensemble`; `classes`; `updates`, and
        `step_cost`, the ratio of step times to the plain network's on the same rows; for texts also
        `tokens_per_second` of training and `padding`, the share of positions that hold no token, medians over epochs
        and seeds.

    Raises:
        NonFiniteLossError: the loss of a cell became infinite or not a number; all others are trained.
        UnavailableError: data could not be opened; the cells on other data are trained.
        ValueError: no configuration or seed, two files of the same name, or a cell that belongs to another
            configuration.
        FolderInUseError: another process compares in the folder, or trains in one of its cells.
    """
    names = [Path(config).stem for config in configs]
    if not configs or not seeds or len(set(names)) < len(names) or len(set(seeds)) < len(seeds):
        raise ValueError(
            f"configs={names}, seeds={list(seeds)}; give at least one of each, files of different names, and "
            "each seed once"
        )
    chosen = {name: _read(Path(config)) for name, config in zip(names, configs, strict=True)}
    diverged: list[str] = []

    def make(cell: _Cell) -> None:
        train(cell.settings, run_dir=cell.folder.path, resume=True, progress_bar=progress_bar)

    check_tree(Path(run_dir))
    with exclusive(Path(run_dir)):
        for seed in seeds:
            run_grid(
                [_Cell(name, seed, settings, Path(run_dir)) for name, settings in chosen.items()],
                make,
                folder=lambda cell: cell.folder,
                diverged=lambda cell, error: diverged.append(f"{cell.folder.path}: {error}"),
            )
            rows = _write(chosen, seeds, Path(run_dir))
    if diverged:
        raise NonFiniteLossError("\n".join(diverged))
    return rows


@dataclass(frozen=True)
class _Cell:
    """A configuration with a seed."""

    name: str
    seed: int
    configuration: Settings
    run_dir: Path

    @property
    def settings(self) -> Settings:
        return dataclasses.replace(self.configuration, seed=self.seed, baseline=False)

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.run_dir / f"{self.name}-{self.seed}")

    @property
    def data_name(self) -> str:
        return self.configuration.data


def _write(chosen: Mapping[str, Settings], seeds: Sequence[int], run_dir: Path) -> list[dict[str, Any]]:
    """Write the tables of the cells that are finished, and return the rows of `comparison.json`."""
    finished: dict[str, dict[int, Run]] = {name: {} for name in chosen}
    for seed in seeds:
        for name, settings in chosen.items():
            folder = _Cell(name, seed, settings, run_dir).folder
            if folder.summary.exists():
                finished[name][seed] = Run(folder, folder.read_summary())
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
    write_text(run_dir / "comparison.md", table(rows))
    return rows


def _read(config: Path) -> Settings:
    """Read the settings of a configuration file."""
    try:
        values = read_yaml(config)
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split())
        raise ValueError(f"{config} cannot be read as a configuration: {said}") from error
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ValueError(f"{config} is a {type(values).__name__}, where settings stand by names")
    return Settings.from_config(upgraded(values), where=config)


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


def _step_cost(settings: Settings, cell: Run) -> float:
    """Return the step time over the plain network's, measured once on the training machine and kept in the cell."""
    if settings.method_name == "baseline":
        return 1.0
    kept = cell.folder.path / "cost.json"
    if not kept.exists():
        with cpu_threads(settings.threads):
            cost = measure_step_cost(settings, settings.load_data(), device=settings.device)
        write_text(kept, json.dumps(dataclasses.asdict(cost), indent=2) + "\n")
    found = read_object(kept, way_out="remove it, the step is measured again", holds=("ratio",))
    return float(found["ratio"])
