"""Trains in a process that kills itself (SIGKILL) at a chosen moment: `killed_run.py FOLDER MOMENT`."""

import os
import signal
import sys

import torch

from helpers.small_run import small
from studygroup.training import train
from studygroup.training.module import StudyModule
from studygroup.training.save_checkpoints import AtomicCheckpointIO


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def in_a_step():
    """In the middle of the second epoch."""
    step = StudyModule.training_step

    def training_step(self, batch, batch_idx):
        return die() if self.global_step == 4 else step(self, batch, batch_idx)

    StudyModule.training_step = training_step


def in_a_checkpoint():
    """With half of the second checkpoint written."""
    save = AtomicCheckpointIO.save_checkpoint

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        if "0002" not in str(path):
            return save(self, checkpoint, path)
        torch_save = torch.save

        def half(content, temporary):
            torch_save(content, temporary)
            os.truncate(temporary, os.path.getsize(temporary) // 2)
            die()

        torch.save = half
        return save(self, checkpoint, path)

    AtomicCheckpointIO.save_checkpoint = save_checkpoint


def after_training():
    """After the last epoch, before anything is shipped."""
    import studygroup.training.run as run

    run.score = die


def never():
    """Runs through, or goes on with what lies in the folder."""


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, moment = sys.argv[1:]
    globals()[moment]()
    train(small(epochs=3), run_dir=folder, resume=True, progress_bar=False)
