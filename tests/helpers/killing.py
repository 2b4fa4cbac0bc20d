"""Processes that kill themselves (SIGKILL) in the middle of their work."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from studygroup.training.module import StudyModule

HELPERS = Path(__file__).parent


def started(script, *arguments, **options):
    """A script of the tests in a process of its own, which finds what all tests share."""
    paths = [str(HELPERS.parent), str(HELPERS.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(
        [sys.executable, script, *arguments], cwd=script.parent, env=environment, **options
    )


def kill_at(update):
    """Dies in that training step, counted over the whole process."""
    step, steps = StudyModule.training_step, []

    def training_step(self, batch, batch_idx):
        steps.append(None)
        if len(steps) == update:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, batch, batch_idx)

    StudyModule.training_step = training_step
