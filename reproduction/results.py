"""Figures of finished runs: small JSON files, one per table, which all processes add to."""

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from reproduction.benchmarks.environment import provenance
from reproduction.reading import tables
from reproduction.tables import Cell, Figures, Measure, Table
from studygroup.files import read_object, write_text
from studygroup.training.config import Config
from studygroup.training.plain import as_kind

_AGAIN = "take it from where it came, or, where the run folders are at hand, remove it: they are found again"


@dataclass(frozen=True)
class Found:
    """The finished runs of one configuration.

    Attributes:
        data: name of the folder or data set that they were trained on.
        key: of the configuration, see `reproduction.lab.config_key`; empty for numbers that follow from other runs.
        runs: figures by seed.
    """

    data: str
    key: str
    runs: Mapping[int, Figures]

    @property
    def clock(self) -> str | None:
        """Device whose seconds the runs have `spent`; None where they differ, and have no common unit.

        Runs that do not record it are from processors.
        """
        devices = {run.get("device", "cpu") for run in self.runs.values()}
        return devices.pop() if len(devices) == 1 else None

    @property
    def spent(self) -> float | None:
        """Mean seconds of training; None where a run lacks them, or they are of several clocks."""
        return None if self.clock is None else mean_of(self, "spent")


def read_results(folder: Path) -> dict[str, Found]:
    """Read the finished runs of all tables, by key: a run made for one table may serve others.

    A missing folder has no runs.

    Raises:
        ValueError: a file is damaged.
    """
    found: dict[str, Found] = {}
    for path in (folder / f"{id}.json" for id in tables()):
        for key, cell in read(path)["cells"].items() if path.exists() else ():
            runs = dict(found[key].runs) if key in found else {}
            for seed, figures in cell["seeds"].items():
                runs[int(seed)] = {**runs.get(int(seed), {}), **figures}
            found[key] = Found(cell["data"], key, runs)
    return found


def numbers(measure: Measure, found: Found) -> list[float]:
    """Return a measure of the finished runs whose figures have it, in the order of the seeds.

    Seconds of several clocks are none.
    """
    if measure.of is None or (measure.unit == "s" and found.clock is None):
        return []
    each = (measure.of(found.runs[seed]) for seed in sorted(found.runs))
    return [number for number in each if number is not None]


def mean_of(found: Found, name: str) -> float | None:
    """Return the mean of a figure over finished runs; None if any of them lacks it."""
    each = [run[name] for run in found.runs.values() if run.get(name) is not None]
    return statistics.fmean(each) if len(each) == len(found.runs) else None


def keep(
    folder: Path,
    table: Table,
    cell: Cell,
    key: str,
    *,
    seed: int,
    settings: Config,
    found: Figures,
    made: Mapping[str, Any] | None = None,
) -> None:
    """Add a run to a table's results, or update its figures.

    Args:
        folder: of the results.
        table: the table that it was made for.
        cell: of that table.
        key: of the run's configuration.
        seed: of the run.
        settings: the run's non-default settings; `data` is a name.
        found: its figures.
        made: the `provenance` of the process that made the run; omitted, of this one.
    """
    path = folder / f"{table.id}.json"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{table.id}.lock"):
        content: dict[str, Any] = {"table": table.id, "title": table.title, "made": [], "cells": {}}
        if path.exists():
            content = read(path)
        entry = content["cells"].setdefault(
            key, {"cell": cell.label, "data": settings["data"], "settings": settings, "seeds": {}}
        )
        before = entry["seeds"].get(str(seed))
        if before is not None and before.get("seconds") == found.get("seconds"):  # of the same training
            found = {**before, **found, "made": before["made"]}  # however often its figures are renewed
        else:
            machine = provenance() if made is None else dict(made)
            if machine not in content["made"]:
                content["made"].append(machine)
            found = {**found, "made": content["made"].index(machine)}
        entry["seeds"][str(seed)] = found
        write_text(path, _text(content))


def read_entries(path: Path) -> dict[str, Any]:
    """Read a file of named entries next to the results; a missing file has none.

    Raises:
        ValueError: it is damaged.
    """
    return read_object(path, way_out=_AGAIN) if path.exists() else {}


def add_entry(path: Path, name: str, value: Any) -> None:
    """Save an entry on a separate line, replacing an earlier one; create missing folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.stem}.lock")):
        content = {**read_entries(path), name: value}
        lines = (f" {json.dumps(k)}: {json.dumps(v)}" for k, v in content.items())
        write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def read_stopped(folder: Path) -> Mapping[str, str]:
    """Read which runs ended without figures because their loss became infinite or NaN, with the error of each.

    A run is repeatable, and would end in the same way.

    Raises:
        ValueError: the file is damaged.
    """
    return read_entries(folder / "stopped.json")


def add_stopped(folder: Path, run: str, words: str) -> None:
    """Record that a run ended without figures, with its error message."""
    add_entry(folder / "stopped.json", run, words)


def _text(value: Any, *, depth: int = 0) -> str:
    """Format JSON with one line for each run, and one for the settings of each cell."""
    if not isinstance(value, dict) or depth == 4 or "class_path" in value or "model" in value:
        return json.dumps(value, ensure_ascii=False)
    inner = (f"{' ' * depth} {json.dumps(k)}: {_text(v, depth=depth + 1)}" for k, v in value.items())
    return "{\n" + ",\n".join(inner) + f"\n{' ' * depth}}}" + "\n" * (depth == 0)


def read(path: Path) -> dict[str, Any]:
    """Read a file of results unchanged.

    Raises:
        ValueError: it is damaged; names the key.
    """
    content = read_object(path, way_out=_AGAIN, holds=("made", "cells"))
    try:
        for key, entry in as_kind(_Cells, content).cells.items():
            for seed, figures in entry.seeds.items():
                _check_figures(figures, f"cells.{key}.seeds.{seed}", seed)
    except ValueError as error:
        raise ValueError(f"{path} {error}; {_AGAIN}") from error
    return content


@dataclass(frozen=True)
class _Entry:
    data: str
    settings: Mapping[str, Any]
    seeds: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class _Cells:
    cells: Mapping[str, _Entry]
    made: tuple[Mapping[str, Any], ...]


def _check_figures(figures: Mapping[str, Any], where: str, seed: str) -> None:
    """Refuse the figures of a run where one is no number."""
    if not (seed.isascii() and seed.isdecimal()):
        raise ValueError(f"has {where}, where {seed!r:.80} is no seed")
    for name in _NUMBERS:
        if figures.get(name) is not None:
            as_kind(float, figures[name], f"{where}.{name}")
    if figures.get("curve") is not None:
        as_kind(Mapping[str, tuple[float, ...]], figures["curve"], f"{where}.curve")


_NUMBERS = (
    *("holdout", "test", "test_top5", "students_mean", "ensemble", "diversity"),
    *("updates", "seconds", "spent", "parameters"),
)
