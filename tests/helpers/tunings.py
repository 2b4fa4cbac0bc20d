"""Studies of trainings that take no time."""

import functools
import importlib
import json
import sqlite3

import optuna
import torch

from helpers.small_run import small
from studygroup.training import (
    Settings,
    tune,
)
from studygroup.training.tuning.space import read_space

TUNE = importlib.import_module("studygroup.training.tuning.search")  # the package has the function
LR = {"optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True}}
SEARCH = LR | {"recipe.temperature": [1.0, 2.0, 4.0]}


@functools.cache
def space_of(settings, search):
    return read_space(Settings.from_config(json.loads(settings)), json.loads(search))


def chosen(space, values, **fixed):
    lr = functools.partial(torch.optim.Adam, lr=values.get("optimizer.lr", 0.0))
    return small(epochs=values.get("epochs", 3), optimizer=lr, **fixed)


def run(folder, *, search=SEARCH, trials=6, settings=None, **options):
    settings = settings or small()
    return tune(settings, search=search, trials=trials, run_dir=folder, progress_bar=False, **options)


def shown(tuned):
    return [(row["state"], row["holdout"], row["values"]) for row in tuned.trials]


def killer(pretend, *moments):
    """Ends the process's work, as a kill would, in the n-th training."""
    begun = []

    def training(settings):
        begun.append(settings)
        if len(begun) in moments:
            raise SystemExit
        return settings.optimizer.keywords["lr"]

    pretend(training)
    return begun


def opened(folder):
    storage = f"sqlite:///{folder}/study.db"
    return optuna.load_study(study_name="studygroup", storage=storage)


def database(folder, *commands):
    with sqlite3.connect(folder / "study.db") as connection:
        for command in commands:
            assert connection.execute(command).rowcount > 0
