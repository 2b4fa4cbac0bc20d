"""What Ray starts in each process; sends itself a signal, once.

The signal is END; every training step adds a line to the file STEPS, and the signal comes before the fifth. Where a
node is to be lost, LOST is the file that says that it is, and every process waits for it before its fourth step.
"""

import os
import time
from pathlib import Path

UPDATE, WAITS = 5, 4


def arm():
    """Makes this process send itself the signal, if no process did before."""
    from studygroup.training.module import StudyModule

    step, steps = StudyModule.training_step, Path(os.environ["STEPS"])

    def training_step(self, batch, batch_idx):
        with steps.open("a") as file:
            print(os.getpid(), file=file)
        lines = steps.read_text().split()
        if len(lines) == UPDATE:
            os.kill(os.getpid(), int(os.environ["END"]))
        if "LOST" in os.environ and lines.count(str(os.getpid())) == WAITS:
            while not Path(os.environ["LOST"]).exists():
                time.sleep(0.02)
        return step(self, batch, batch_idx)

    StudyModule.training_step = training_step
