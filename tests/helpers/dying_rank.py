"""`studygroup` as torchrun starts it; one process dies in the middle of the second epoch, the first time."""

import os
import signal
import sys

from studygroup.cli import main
from studygroup.training.module import StudyModule


def dies_at(step: int) -> None:
    before = StudyModule.training_step

    def training_step(self: StudyModule, batch: object, batch_idx: int) -> object:
        if self.done == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return before(self, batch, batch_idx)

    StudyModule.training_step = training_step


if __name__ == "__main__":
    dies = os.environ.get("DIES_AT")
    if dies and os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        dies_at(int(dies))
    sys.exit(main(sys.argv[1:]))
