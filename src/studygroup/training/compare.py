"""Compare configurations over seeds; every cell is a run folder, so that finished work is not repeated."""

import dataclasses
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studygroup.files import checked, read_json, read_object, write_text
from studygroup.training.folder import RunFolder
from studygroup.training.migrate import upgraded
from studygroup.training.read_yaml import read_yaml
from studygroup.training.run import Result, cpu_threads, train
from studygroup.training.scores import TOP5_FROM
from studygroup.training.settings import Settings
from studygroup.training.step_cost import measure_step_cost
from studygroup.training.tables import markdown
from studygroup.untrusted import check_tree

COLUMNS = {
    "holdout": "hold-out (chosen on)",
    "test": "test, shipped",
    "top5": "test top-5, shipped",
    "students_mean": "test, mean of students",
    "ensemble": "test, ensemble",
}
"""Column titles of the accuracies in a row of `compare`."""


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
    resumes. In each cell the student is chosen on the hold-out rows and scored on the test rows afterwards; the table
    keeps the two scores apart and chooses no configuration.

    Args:
        configs: configuration files, as `studygroup train --config` takes them; their own seed is not used.
        seeds: seeds with which every configuration is trained.
        run_dir: folder of the cells, `comparison.json` and `comparison.md`.
        progress_bar: whether to draw progress bars.

    Returns:
        One row per configuration: `name`, `n`, and mean and sample standard deviation (`None` for one seed) of
        `holdout`, `test`, its `top5`, `students_mean` and `ensemble`; `classes`; `updates`, and `step_cost`, the
        ratio of step times to the plain network's on the same rows; for texts also `tokens_per_second` of training
        and `padding`, the share of positions that hold no token, medians over epochs and seeds.

    Raises:
        ValueError: no configuration or seed, two files of the same name, or a cell that belongs to another
            configuration.
    """
    names = [Path(config).stem for config in configs]
    if not configs or not seeds or len(set(names)) < len(names) or len(set(seeds)) < len(seeds):
        raise ValueError(
            f"configs={names}, seeds={list(seeds)}; give at least one of each, files of different names, and "
            "each seed once"
        )
    chosen = {name: _read(Path(config)) for name, config in zip(names, configs, strict=True)}
    check_tree(Path(run_dir))
    cells: dict[str, dict[int, Result]] = {name: {} for name in names}
    for seed in seeds:
        for name, settings in chosen.items():
            cells[name][seed] = train(
                dataclasses.replace(settings, seed=seed, baseline=False),
                run_dir=Path(run_dir) / f"{name}-{seed}",
                resume=True,
                progress_bar=progress_bar,
            )
        rows = [_row(name, settings, cells[name]) for name, settings in chosen.items()]
        write_text(Path(run_dir) / "comparison.json", json.dumps(rows, indent=2) + "\n")
        write_text(Path(run_dir) / "comparison.md", table(rows))
    return rows


def read_rows(run_dir: Path) -> list[dict[str, Any]]:
    """Read the rows that `compare` wrote to its folder, as it returns them, each with its `seeds`.

    Args:
        run_dir: the folder.

    Raises:
        ValueError: the folder holds no comparison, or its file is damaged.
    """
    path, way_out = run_dir / "comparison.json", "call `studygroup compare` again"
    try:
        rows = read_json(path, way_out=way_out)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(
            f"{run_dir} holds no comparison: comparison.json is missing; give a --run_dir of `studygroup compare`"
        ) from error
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{path} holds no rows; {way_out}")
    for row in rows:
        checked(path, row, way_out=way_out, holds=("name", "seeds"))
        name, seeds = row["name"], row["seeds"]
        plain = isinstance(name, str) and name == Path(name).name and isinstance(seeds, list)
        if not plain or not all(isinstance(seed, int) for seed in seeds):
            raise ValueError(
                f"{path} has a row {name!r} of the seeds {seeds!r}, which names no folder here; {way_out}"
            )
    return rows


def cells(run_dir: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[RunFolder]]:
    """Return the run folders of a comparison by configuration, one per seed.

    Args:
        run_dir: the folder.
        rows: the folder's rows, see `read_rows`.
    """
    return {
        row["name"]: [RunFolder(run_dir / f"{row['name']}-{seed}") for seed in row["seeds"]] for row in rows
    }


def _read(config: Path) -> Settings:
    """Read the settings of a configuration file."""
    try:
        values = read_yaml(config) or {}
    except (OSError, ValueError) as error:
        raise ValueError(f"{config} cannot be read as a configuration: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{config} is a {type(values).__name__}, where settings stand by names")
    return Settings.from_config(upgraded(values), where=config)


def _row(name: str, settings: Settings, by_seed: Mapping[int, Result]) -> dict[str, Any]:
    """Summarise the finished cells of one configuration as a row."""
    cells = list(by_seed.values())
    speeds = {
        figure: statistics.median(_texts(cell)[figure] for cell in cells) for figure in _texts(cells[0])
    }
    return {
        "name": name,
        "n": len(cells),
        "seeds": list(by_seed),
        **_spread("holdout", [cell.summary["shipped"]["holdout"] for cell in cells]),
        **_spread("test", [cell.summary["shipped"]["test"] for cell in cells]),
        **_spread("top5", [cell.summary["shipped"]["test_top5"] for cell in cells]),
        **_spread("students_mean", [cell.summary["test"]["mean"] for cell in cells]),
        **_spread("ensemble", [cell.summary["test"]["ensemble"] for cell in cells]),
        "classes": len(cells[0].summary["run"]["classes"]),
        "updates": cells[0].summary["run"]["updates"],
        "step_cost": _step_cost(settings, cells[0]),
        **speeds,
    }


def _texts(cell: Result) -> dict[str, float]:
    """Return a cell's figures for texts; empty for pictures and for runs of earlier versions."""
    figures: dict[str, float] = cell.summary["run"].get("texts", {})
    return figures


def _spread(name: str, values: Sequence[float]) -> dict[str, float | None]:
    std = statistics.stdev(values) if len(values) > 1 else None
    return {name: statistics.fmean(values), f"{name}_std": std}


def _step_cost(settings: Settings, cell: Result) -> float:
    """Return the step time over the plain network's, measured once on the training machine and kept in the cell."""
    if settings.method_name == "baseline":
        return 1.0
    kept = cell.folder.path / "cost.json"
    if not kept.exists():
        with cpu_threads(settings.threads):
            cost = measure_step_cost(settings, settings.load_data(), device=settings.device)
        write_text(kept, json.dumps(cost, indent=2) + "\n")
    found = read_object(kept, way_out="remove it, the step is measured again", holds=("ratio",))
    return float(found["ratio"])


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Render the comparison as a Markdown table.

    Args:
        rows: the rows that `compare` returns.
    """
    many = any(row["classes"] >= TOP5_FROM for row in rows)
    columns = {name: words for name, words in COLUMNS.items() if many or name != "top5"}
    texts = any("padding" in row for row in rows)
    costs = ["updates", "step cost", *(["tokens/s", "padding"] if texts else [])]
    head = ("configuration", "n", *columns.values(), *costs)
    cells = [
        (
            row["name"],
            str(row["n"]),
            *(percent(row, name) for name in columns),
            str(row["updates"]),
            f"{row['step_cost']:.2f} x",
            *((f"{row['tokens_per_second']:,.0f}", f"{row['padding']:.1%}") if texts else ()),
        )
        for row in rows
    ]
    return (
        f"{markdown(cells, head=head)}\n\nMean ± sample standard deviation over seeds. The shipped student is chosen "
        "on the hold-out rows and scored on the test rows afterwards.\n"
    )


def percent(row: Mapping[str, Any], name: str) -> str:
    """Format an accuracy of a row of `compare` in percent, with its deviation if there is one."""
    std = row.get(f"{name}_std")
    return f"{100 * row[name]:.2f}" + (f" ± {100 * std:.2f}" if std is not None else "")
