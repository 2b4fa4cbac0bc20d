"""What Ray starts in each process; sends itself a signal, once.

The signal is END; every training step adds a line to the file STEPS, and the signal comes before the fifth.
"""

import os
from pathlib import Path

UPDATE = 5


def arm():
    """Makes this process send itself the signal, if no process did before."""
    from studygroup.training.module import StudyModule

    step, steps = StudyModule.training_step, Path(os.environ["STEPS"])

    def training_step(self, batch, batch_idx):
        with steps.open("a") as file:
            print(os.getpid(), file=file)
        if len(steps.read_text().split()) == UPDATE:
            os.kill(os.getpid(), int(os.environ["END"]))
        return step(self, batch, batch_idx)

    StudyModule.training_step = training_step
