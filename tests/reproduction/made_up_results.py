"""Results of the papers' tables with figures that are made up, and analyses, for tests of the report."""

import hashlib
import json

from reproduction.lab import Lab
from reproduction.reading import tables
from reproduction.results import keep
from reproduction.scale import SMALL

MACHINE = {
    "command": "python -m reproduction run ID --jobs 2",
    "cpu": "a <fast> processor",
    "cores": 2,
    "torch": "2.14",
}


def chance(*words):
    """A number in [0, 1) that these words always have."""
    return int(hashlib.sha256(" ".join(map(str, words)).encode()).hexdigest()[:8], 16) / 2**32


def fake(cell, seed, *, epochs=10):
    """Figures of a run, of a size that the cell's published number or its method suggests."""
    recipe = cell.settings["recipe"]
    plain = recipe == "baseline"
    test = 0.62 + 0.03 * chance(cell.label) * (not plain) + 0.004 * chance(cell.label, seed)
    seconds = 300 * (1 if plain else 1 + 4 * chance(cell.label, "cost"))
    curve = {
        "holdout": [test * (1 - 0.6 * 0.6**epoch) for epoch in range(1, epochs + 1)],
        "updates": [100 * epoch for epoch in range(1, epochs + 1)],
        "spent": [seconds * epoch / epochs for epoch in range(1, epochs + 1)],
    }
    return {
        "holdout": test, "test": test, "test_top5": test + 0.2, "diversity": 0.2 + 0.3 * chance(cell.label),
        "students_mean": test, "ensemble": test + 0.01,
        "updates": 100 * epochs, "seconds": round(seconds, 1), "spent": round(seconds, 1),
        "parameters": 700_000 + 700_000 * (not plain), "curve": curve,
    }  # fmt: skip


def fill(folder, ids, *, seeds=3, skip=(), **more):
    """Keeps results of tables in `folder / "results"`; of the columns in `skip` there are none."""
    lab = Lab(run_dir=folder, scale=SMALL)
    for id in ids:
        table = tables()[id]
        for cell in table.runnable:
            if cell.place[1] in skip:
                continue
            key, settings = lab.key(cell), lab.config(cell) | {"data": "made_up"}
            for seed in range(seeds):
                found = fake(cell, seed) | more
                keep(
                    lab.results_dir, table, cell, key, seed=seed, settings=settings, found=found, made=MACHINE
                )
    return lab


def analyse(run):
    """Leaves analyses in a run folder."""
    bins = [
        {"above": k / 10, "to": (k + 1) / 10, "count": 9 + k, "confidence": k / 10 + 0.05, "accuracy": 0.9 * k / 10}
        for k in range(10)
    ]  # fmt: skip
    side = {"accuracy": 0.6, "confidence": 0.7, "ece": 0.081, "bins": bins}
    around = [k / 5 - 1 for k in range(11)]
    found = {
        "calibration": {"rows": 100, "shipped": side, "ensemble": side | {"ece": 0.043}},
        "flatness": {
            "clean": 0.62, "sigmas": [0.01, 0.02, 0.04], "draws": 5, "accuracy": [0.61, 0.55, 0.31],
            "std": [0.01, 0.01, 0.02], "drop": 7.0, "relative": False,
        },
        "similarity": {"layer": "layer4", "similarity": 0.5, "cka": [[1.0, 0.5], [0.5, 1.0]]},
        "landscape": {
            "around": around, "directions": [{"loss": [1 + x * x for x in around]}], "line": [0.0, 0.5, 1.0],
            "lines": [{"pair": [0, 1], "loss": [1.0, 1.6, 1.1], "barrier": 0.55}], "barrier": 0.55,
        },
        "ensemble": {"ensemble": 0.64, "gain": {"mean": 2.0}},
        "diversity": {"diversity": 0.31, "disagreement": 0.2},
        "sharing": {"sharing": 0.407, "parameters": 0.4},
        "convergence": {"reached": {"epoch": 17}},
    }  # fmt: skip
    for name, content in found.items():
        path = run / "analyses" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content | {"settings": {}}))
