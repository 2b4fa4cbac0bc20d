"""What is kept of finished runs: small JSON files, one a table, that all processes add to and everything reads."""

import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from studygroup.atomic import write_text
from studygroup.papers.reading import tables
from studygroup.papers.tables import Cell, Figures, Table
from studygroup.training.config import Config
from studygroup.training.folder import RunFolder
from studygroup.training.history import read_history
from studygroup.training.run import Result


@dataclass(frozen=True)
class Found:
    """The finished runs of one configuration.

    Attributes:
        data: name of the folder or data set that they were trained on.
        settings: as `keep` was given them.
        runs: figures by seed.
    """

    data: str
    settings: Config
    runs: Mapping[int, Figures]


def known(folder: Path) -> dict[str, Found]:
    """The finished runs of all tables, by key: whichever table a run was made for, others may use it.

    Args:
        folder: of the results; a missing one has none.

    Raises:
        ValueError: a file is damaged.
    """
    found: dict[str, Found] = {}
    for path in (folder / f"{id}.json" for id in tables()):
        for key, cell in _read(path)["cells"].items() if path.exists() else ():
            runs = {int(seed): figures for seed, figures in cell["seeds"].items()}
            before = found[key].runs if key in found else {}
            found[key] = Found(cell["data"], cell["settings"], {**before, **runs})
    return found


def keep(
    folder: Path, table: Table, cell: Cell, key: str, *, seed: int, settings: Config, found: Figures
) -> None:
    """Adds a run to those of a table.

    Args:
        folder: of the results.
        table: that it was made for.
        cell: of that table.
        key: of the run's configuration.
        seed: of the run.
        settings: of the run, as far as they are no defaults; `data` is a name.
        found: what `figures` gave.
    """
    path = folder / f"{table.id}.json"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{table.id}.lock"):
        content: dict[str, Any] = {"table": table.id, "title": table.title, "made": [], "cells": {}}
        if path.exists():
            content = _read(path)
        machine = environment()
        if machine not in content["made"]:
            content["made"].append(machine)
        entry = content["cells"].setdefault(
            key, {"cell": cell.label, "data": settings["data"], "settings": settings, "seeds": {}}
        )
        entry["seeds"][str(seed)] = dict(found) | {"made": content["made"].index(machine)}
        write_text(path, _text(content))


def figures(result: Result) -> dict[str, Any]:
    """What is kept of a run: accuracies as shares, `last_fifth`, by how much the hold-out accuracy rose in it.

    Args:
        result: of a finished run.
    """
    summary = result.summary
    return {
        "holdout": summary["shipped"]["holdout"],
        "test": summary["shipped"]["test"],
        "test_top5": summary["shipped"]["test_top5"],
        "students_mean": summary["test"]["mean"],
        "ensemble": summary["test"]["ensemble"],
        "diversity": summary["test"]["diversity"],
        "last_fifth": last_fifth(result.folder),
        "updates": summary["run"]["updates"],
        "seconds": round(summary["run"]["training_seconds"], 1),
        "load": round(os.getloadavg()[0], 1),
    }


def last_fifth(folder: RunFolder) -> float | None:
    """By how much the students' mean hold-out accuracy rose over the last fifth of the epochs, as a share.

    Args:
        folder: of the run; None where it has fewer than five epochs.
    """
    curve = [row["holdout_mean"] for row in read_history(folder.metrics)]
    return curve[-1] - curve[-1 - len(curve) // 5] if len(curve) >= 5 else None


def environment() -> dict[str, Any]:
    """Machine, versions and command of this process; folders in the command by their last name."""
    return {
        "command": " ".join([Path(sys.argv[0]).name, *map(_bare, sys.argv[1:])]),
        "cpu": _processor(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _bare(argument: str) -> str:
    """An argument without the folders that lead to a file."""
    name, equals, value = argument.rpartition("=")
    return f"{name}{equals}{Path(value).name}" if Path(value).is_absolute() else argument


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _text(value: Any, *, depth: int = 0) -> str:
    """JSON with a line for each run, and one for the settings of each cell."""
    if not isinstance(value, dict) or depth == 4 or "class_path" in value or "model" in value:
        return json.dumps(value, ensure_ascii=False)
    inner = (f"{' ' * depth} {json.dumps(k)}: {_text(v, depth=depth + 1)}" for k, v in value.items())
    return "{\n" + ",\n".join(inner) + f"\n{' ' * depth}}}" + "\n" * (depth == 0)


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); remove it, finished runs are found again"
        ) from error
    return content
