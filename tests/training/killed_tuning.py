"""Tunes in a process that may kill itself (SIGKILL): `killed_tuning.py FOLDER STORAGE UPDATE`, 0 for never."""

import os
import signal
import sys

import torch
from small_run import small

from studygroup.training import tune
from studygroup.training.module import StudyModule

SEARCH = {
    "optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True},
    "recipe.temperature": [1.0, 2.0, 4.0],
}


def kill_at(update):
    """Dies in that training step, counted over the whole process."""
    step, steps = StudyModule.training_step, []

    def training_step(self, batch, batch_idx):
        steps.append(None)
        if len(steps) == update:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, batch, batch_idx)

    StudyModule.training_step = training_step


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, storage, update = sys.argv[1:]
    kill_at(int(update))
    tune(small(epochs=2), search=SEARCH, trials=4, run_dir=folder, storage=storage, progress_bar=False)
