"""Finished runs of a benchmark, by name and seed, in one JSON file; and their figures over seeds, in percent."""

import json
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from reproduction.benchmarks.environment import provenance
from studygroup.analysis.intervals import half_width
from studygroup.files import read_object, write_text

Runs = Mapping[int, Mapping[str, Any]]
"""Figures of one name, by seed."""


class Cells:
    """Finished runs in a file that several processes may share.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def known(self) -> dict[str, dict[int, dict[str, Any]]]:
        """Return the figures of finished runs, by name and seed."""
        way_out = "take it from version control"
        found = read_object(self.path, way_out=way_out)["cells"] if self.path.exists() else {}
        return {name: {int(seed): own for seed, own in runs.items()} for name, runs in found.items()}

    def keep(self, name: str, seed: int, figures: Mapping[str, Any]) -> None:
        """Save the figures of a finished run."""
        with FileLock(self.path.with_name(f".{self.path.stem}.lock")):
            found = self.known()
            found.setdefault(name, {})[seed] = dict(figures)
            write_text(self.path, json.dumps({"environment": provenance(), "cells": found}, indent=1) + "\n")


def spread(runs: Runs, figure: str) -> str:
    """Return mean ± sample deviation over seeds in percent."""
    values = [100 * run[figure] for run in runs.values()]
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{deviation}"


def interval(runs: Runs, figure: str, base: Runs, of_base: str = "shipped") -> tuple[float, float, int]:
    """Return the mean of the differences of the same seed in points, half its 95 % t-interval, and their number.

    Half an interval is NaN if there is only one difference.
    """
    differences = [100 * (run[figure] - base[seed][of_base]) for seed, run in runs.items() if seed in base]
    n = len(differences)
    if n < 2:
        return statistics.mean(differences), math.nan, n
    return statistics.mean(differences), half_width(differences, fewest=2), n


def over(runs: Runs, base: Runs, figure: str, of_base: str = "shipped") -> str:
    """Return the mean of the differences of the same seed, in points, with its 95 % t-interval."""
    mean, half, n = interval(runs, figure, base, of_base)
    return f"{mean:+.2f} ({mean - half:+.2f} to {mean + half:+.2f})" if n > 1 else f"{mean:+.2f}"
