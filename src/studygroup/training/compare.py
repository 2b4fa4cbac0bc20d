"""Compares configurations over seeds: every cell a run folder, so that what is finished is not done again."""

import dataclasses
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from studygroup.training.folder import write_text
from studygroup.training.price import price
from studygroup.training.run import Result, train
from studygroup.training.scores import TOP5_FROM
from studygroup.training.settings import Settings


def compare(
    configs: Sequence[str],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    run_dir: str = "runs/compare",
    progress_bar: bool = True,
) -> list[dict[str, Any]]:
    """Trains every configuration with every seed and writes a table of mean and spread.

    A cell lies in `<run_dir>/<configuration>-<seed>`. Finished cells are skipped, a killed one goes on where it
    was. In each cell the student is chosen on the hold-out rows and scored on the test rows afterwards; the table
    keeps the two apart, and picks no configuration.

    Args:
        configs: configuration files, as `studygroup train --config` takes them; their own seed is not used.
        seeds: of the runs.
        run_dir: where the cells, `comparison.json` and `comparison.md` go.
        progress_bar: whether to draw bars.

    Returns:
        One row a configuration: `name`, `n`, and mean and sample standard deviation (`None` for one seed) of
        `holdout`, `test`, its `top5`, `students_mean` and `ensemble`; `classes`; `updates`, and `step_cost`, the
        ratio of step times to the plain network's on the same images.

    Raises:
        ValueError: no configuration or seed, two files of one name, or a cell that belongs to another configuration.
    """
    names = [Path(config).stem for config in configs]
    if not configs or not seeds or len(set(names)) < len(names) or len(set(seeds)) < len(seeds):
        raise ValueError(
            f"configs={names}, seeds={list(seeds)}; give at least one of each, files of different names, and "
            "each seed once"
        )
    rows = [
        _row(name, Path(config), seeds, Path(run_dir), progress_bar)
        for name, config in zip(names, configs, strict=True)
    ]
    write_text(Path(run_dir) / "comparison.json", json.dumps(rows, indent=2) + "\n")
    write_text(Path(run_dir) / "comparison.md", table(rows))
    return rows


def _row(name: str, config: Path, seeds: Sequence[int], run_dir: Path, progress_bar: bool) -> dict[str, Any]:
    """All cells of one configuration."""
    try:
        settings = Settings.from_config(yaml.safe_load(config.read_text()) or {})
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{config} cannot be read as a configuration: {error}") from error
    cells = [
        train(
            dataclasses.replace(settings, seed=seed, baseline=False),
            run_dir=run_dir / f"{name}-{seed}",
            resume=True,
            progress_bar=progress_bar,
        )
        for seed in seeds
    ]
    return {
        "name": name,
        "n": len(cells),
        "seeds": list(seeds),
        **_spread("holdout", [cell.summary["shipped"]["holdout"] for cell in cells]),
        **_spread("test", [cell.summary["shipped"]["test"] for cell in cells]),
        **_spread("top5", [cell.summary["shipped"]["test_top5"] for cell in cells]),
        **_spread("students_mean", [cell.summary["test"]["mean"] for cell in cells]),
        **_spread("ensemble", [cell.summary["test"]["ensemble"] for cell in cells]),
        "classes": len(cells[0].summary["run"]["classes"]),
        "updates": cells[0].summary["run"]["updates"],
        "step_cost": _step_cost(settings, cells[0]),
    }


def _spread(name: str, values: Sequence[float]) -> dict[str, float | None]:
    std = statistics.stdev(values) if len(values) > 1 else None
    return {name: statistics.fmean(values), f"{name}_std": std}


def _step_cost(settings: Settings, cell: Result) -> float:
    """Step time over the plain network's, measured once and kept beside the first cell."""
    if settings.method_name == "baseline":
        return 1.0
    kept = cell.folder.path / "cost.json"
    if not kept.exists():
        cost = price(settings, settings.load_data(), device=torch.device("cpu"))
        write_text(kept, json.dumps(cost, indent=2) + "\n")
    ratio: float = json.loads(kept.read_text())["ratio"]
    return ratio


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The comparison as a Markdown table.

    Args:
        rows: as `compare` returns them.
    """
    many = any(row["classes"] >= TOP5_FROM for row in rows)
    columns = {
        "holdout": "hold-out (chosen on)",
        "test": "test, shipped",
        **({"top5": "test top-5, shipped"} if many else {}),
        "students_mean": "test, mean of students",
        "ensemble": "test, ensemble",
    }
    head = f"| configuration | n | {' | '.join(columns.values())} | updates | step cost |"
    lines = [head, "|---" * (len(columns) + 4) + "|"]
    for row in rows:
        scores = " | ".join(_percent(row, name) for name in columns)
        lines.append(
            f"| {row['name']} | {row['n']} | {scores} | {row['updates']} | {row['step_cost']:.2f} x |"
        )
    lines.append(
        "\nMean ± sample standard deviation over seeds. The shipped student is chosen on the hold-out rows and "
        "scored on the test rows afterwards."
    )
    return "\n".join(lines) + "\n"


def _percent(row: dict[str, Any], name: str) -> str:
    std = row[f"{name}_std"]
    return f"{100 * row[name]:.2f}" + (f" ± {100 * std:.2f}" if std is not None else "")
