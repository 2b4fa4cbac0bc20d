"""Runs a table in a process that may kill itself (SIGKILL): `killed_papers.py FOLDER UPDATE`, 0 for never."""

import os
import signal
import sys
from pathlib import Path

import torch
from small_papers import papers

from studygroup.training.module import StudyModule


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
    kill_at(int(sys.argv[2]))
    sys.exit(papers("run", Path(sys.argv[1]), "--data=cifar10=digits"))
