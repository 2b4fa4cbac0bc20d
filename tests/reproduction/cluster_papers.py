"""Runs to be spread, and figures that nobody trained for."""

import json
from pathlib import Path

from small_papers import SMALL

from reproduction.lab import Lab
from reproduction.reading import table_called
from reproduction.runner import wanted_runs
from reproduction.scale import SMALL as SCALE
from studygroup.training.cluster import Outcome

HERE = Path(__file__).parent
TABLE = table_called("cgl-table-2")
ANSWER = Outcome(({"test": 0.5}, {"cpu": "another", "command": "a worker"}))


def lab(folder):
    change = json.loads(SMALL[-1].partition("=")[2])
    return Lab(
        run_dir=folder, scale=SCALE.changed(rows=200, epochs=2), change=change, data={"cifar10": "digits"}
    )


def two_runs():
    """Baseline and CGL on CIFAR-10; they are the same in every folder."""
    return wanted_runs(TABLE, lab(Path("anywhere")), seeds=1, only=["CIFAR-10, baseline", "CIFAR-10, CGL"])


def results(folder):
    """What is kept: test accuracy by column."""
    path = folder / "results" / "cgl-table-2.json"
    cells = json.loads(path.read_text())["cells"].values() if path.exists() else ()
    return {cell["cell"].split(" | ")[1]: cell["seeds"]["0"]["test"] for cell in cells}
