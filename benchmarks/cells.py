"""Runs a list of training cells in order of value, keeps what is finished, and prints what there is so far.

A cell is one configuration with one seed. All cells run with the first seed, then all with the second, and so on; a
finished one is never run again, and a killed one goes on where it was. Several processes may work on one folder.
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from environment import RESULTS, environment, save
from studygroup.training import Settings, train
from studygroup.training.folder import held

Cells = Mapping[str, Mapping[str, Any]]
"""Configuration of each cell by name, in order of value."""
FIGURES = ("holdout", "test", "students_mean", "ensemble", "seconds")


def parser(
    description: str | None, *, data: str = "a folder with CIFAR-10, or its name on the hub"
) -> argparse.ArgumentParser:
    """Options that all lists of cells have."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--data", required=True, help=data)
    made.add_argument("--seeds", type=int, default=3)
    made.add_argument("--run_dir", type=Path, default=Path("runs"))
    made.add_argument("--only", default="", help="run cells whose names contain this")
    return made


def run(name: str, cells: Cells, args: argparse.Namespace) -> dict[str, Any]:
    """Runs what is missing, but for what other processes work on, and keeps the figures in `results/NAME.json`."""
    for seed in range(args.seeds):
        for cell, config in cells.items():
            if args.only not in cell or seed in known(name).get(cell, {}):
                continue
            folder = args.run_dir / name / f"{cell}-{seed}".replace(" ", "_")
            settings = Settings.from_config({"data": args.data, **config, "seed": seed, "baseline": False})
            with held(folder) as free:
                if free:
                    result = train(settings, run_dir=folder, resume=True, progress_bar=False)
                    keep(name, cell, seed, figures(result.summary))
    return known(name)


def figures(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a run."""
    return {
        "holdout": summary["shipped"]["holdout"],
        "test": summary["shipped"]["test"],
        "students_mean": summary["test"]["mean"],
        "ensemble": summary["test"]["ensemble"],
        "updates": summary["run"]["updates"],
        "seconds": summary["run"]["training_seconds"],
        "texts": summary["run"]["texts"],
    }


def known(name: str) -> dict[str, dict[int, dict[str, Any]]]:
    """The finished cells: figures by name and seed."""
    path = RESULTS / f"{name}.json"
    cells = json.loads(path.read_text())["cells"] if path.exists() else {}
    return {cell: {int(seed): figures for seed, figures in seeds.items()} for cell, seeds in cells.items()}


def keep(name: str, cell: str, seed: int, found: dict[str, Any]) -> None:
    """Adds a cell to the finished ones."""
    with FileLock(RESULTS / f".{name}.lock"):
        cells = known(name)
        cells.setdefault(cell, {})[seed] = found
        save(name, {"environment": environment(), "cells": cells})


def spread(cells: Mapping[int, Mapping[str, Any]], figure: str, *, error: bool = False) -> str:
    """Mean ± sample standard deviation over seeds in percent."""
    return _said([100 * (1 - seed[figure] if error else seed[figure]) for seed in cells.values()])


def gain(
    cells: Mapping[int, Mapping[str, Any]], baseline: Mapping[int, Mapping[str, Any]], figure: str
) -> str:
    """Mean ± sample standard deviation over seeds of the difference to the baseline of the same seed, in points."""
    both = [(run[figure], baseline[seed][figure]) for seed, run in cells.items() if seed in baseline]
    return _said([100 * (own - plain) for own, plain in both], sign="+") if both else ""


def _said(values: Sequence[float], *, sign: str = "") -> str:
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{sign}.2f}{deviation}"
