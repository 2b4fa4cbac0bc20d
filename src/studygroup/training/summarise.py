"""The summary of a finished run: the content of `summary.json`."""

import dataclasses
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from studygroup import seeding
from studygroup.data import Data, clean
from studygroup.training.fit import Trained
from studygroup.training.scores import Scores
from studygroup.training.settings import Settings

Summary = Mapping[str, Any]


def summarise(
    settings: Settings,
    data: Data,
    trained: Trained,
    *,
    test: Scores,
    shipped: Scores,
    baseline: Summary | None,
    cost: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Assemble the summary of a run.

    Args:
        settings: the settings of the run.
        data: the data it was trained on.
        trained: the task after its last epoch, and the selected student.
        test: scores of all students on the test rows.
        shipped: scores of the shipped network on the test rows.
        baseline: summary of the plain network trained beside it, if one was.
        cost: the measurements of `measure_step_cost`, if the baseline was trained.
    """
    selected = trained.selected
    random_student = seeding.derive(settings.seed, "random student") % len(test.students)
    return {
        "run": _facts(settings, data, trained),
        "noise": _noise_facts(settings, data),
        "holdout": {"rows": len(data.holdout), **_last_holdout(trained)},
        "shipped": {
            "student": selected.student,
            "leads": trained.module.task.group.routes.leader is not None,
            "epoch": selected.epoch,
            "select": settings.select,
            "reestimated_bn": settings.reestimate_bn,
            "holdout": selected.holdout,
            "test": shipped.students[0],
            "test_top5": shipped.students_top5[0],
        },
        "test": dataclasses.asdict(test)
        | {"mean": test.mean, "std": test.std, "mean_top5": test.mean_top5}
        | {"random": {"student": random_student, "accuracy": test.students[random_student]}},
        "baseline": _beside(baseline),
        "cost": cost,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "versions": _versions(trained.device),
    }


def _facts(settings: Settings, data: Data, trained: Trained) -> dict[str, Any]:
    """Return the facts of the run: what was trained, on which data, and for how long."""
    rows = trained.history.rows
    return {
        "recipe": settings.method_name,
        "data": data.name,
        "model": settings.builder(data),
        "seed": settings.seed,
        "students": trained.module.task.group.students,
        "epochs": settings.epochs,
        "updates": int(rows[-1]["updates"]),
        "train_rows": len(data.train),
        "training_seconds": sum(row["seconds"] for row in rows),
        "device": trained.device.type,
        "classes": list(data.classes),
        "texts": _speeds(rows),
        "input": data.form.words,
        "form": data.form.facts,
    }


def _speeds(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return tokens per second of training and share of padding, medians over epochs; empty for pictures."""
    names = ("tokens_per_second", "padding")
    return {name: statistics.median(row[name] for row in rows) for name in names if name in rows[-1]}


def _last_holdout(trained: Trained) -> dict[str, float]:
    """Return the hold-out figures of the last epoch."""
    row = trained.history.rows[-1]
    return {k.removeprefix("holdout_"): v for k, v in row.items() if k.startswith("holdout_")}


def _beside(baseline: Summary | None) -> dict[str, Any] | None:
    """Return the part of a run's summary on the baseline that was trained beside it."""
    if baseline is None:
        return None
    return {
        "folder": "baseline",
        "test": baseline["shipped"]["test"],
        "test_top5": baseline["shipped"]["test_top5"],
        "holdout": baseline["shipped"]["holdout"],
        "epoch": baseline["shipped"]["epoch"],
        "updates": baseline["run"]["updates"],
        "training_seconds": baseline["run"]["training_seconds"],
    }


def _versions(device: torch.device) -> dict[str, str]:
    """Return the date, the device and the versions of the packages that the run used."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "studygroup": version("studygroup"),
        "python": platform.python_version(),
        **{package: version(package) for package in ("torch", "lightning", "torchvision", "timm")},
        "device": f"{platform.system()}, {name}, {torch.get_num_threads()} CPU threads",
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def _noise_facts(settings: Settings, data: Data) -> dict[str, Any] | None:
    """Return the label noise of a run, and how many labels it makes wrong.

    Args:
        settings: the settings of the run.
        data: as opened by `settings.load_data`.

    Returns:
        `name` and `options` of the noise; `wrong_training_labels` in the first epoch, and whether they are `redrawn`
        in the next; `wrong_holdout_labels`. None without noise.
    """
    if settings.noise is clean:
        return None
    named = settings.config()["noise"]
    path, options = (named["class_path"], named["init_args"]) if isinstance(named, dict) else (named, {})
    first, second = data.training_labels(0), data.training_labels(1)
    return {
        "name": path.rpartition(".")[2],
        "options": options,
        "wrong_training_labels": int((first != data.train_truth.labels).sum()),
        "redrawn": not torch.equal(first, second),
        "wrong_holdout_labels": int((data.holdout.labels != data.holdout_truth.labels).sum()),
    }
