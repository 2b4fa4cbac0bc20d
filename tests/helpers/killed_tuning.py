"""Tunes in a process that may kill itself (SIGKILL): `killed_tuning.py FOLDER STORAGE UPDATE`, 0 for never."""

import sys

import torch

from helpers.killing import kill_at
from helpers.small_run import small
from studygroup.training import tune

SEARCH = {
    "optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True},
    "recipe.temperature": [1.0, 2.0, 4.0],
}


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, storage, update = sys.argv[1:]
    kill_at(int(update))
    tune(small(epochs=2), search=SEARCH, trials=4, run_dir=folder, storage=storage, progress_bar=False)
