"""Two processes side by side that write down who they are and then wait: called with a folder."""

import os
import sys
import time
from pathlib import Path

from studygroup.stopping import run_program
from studygroup.training.grid import in_processes


def wait(folder):
    (folder / f"{os.getpid()}.pid").touch()
    time.sleep(300)


if __name__ == "__main__":
    sys.exit(run_program("call again", lambda: in_processes(wait, Path(sys.argv[1]), count=2) or 0))
