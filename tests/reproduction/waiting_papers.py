"""Two processes side by side that write down who they are and then wait: called with a folder."""

import importlib
import os
import sys
import time
from pathlib import Path

from reproduction.lab import Lab
from reproduction.reading import table_called
from reproduction.scale import SMALL
from studygroup.stopping import run_program

parallel = importlib.import_module("reproduction.parallel")


def train_runs(table, lab, runs):
    (lab.run_dir / f"{os.getpid()}.pid").touch()
    time.sleep(300)


parallel.train_runs = train_runs  # in the processes, too: they load this file again

if __name__ == "__main__":
    lab = Lab(run_dir=Path(sys.argv[1]), scale=SMALL)
    table = table_called("cgl-table-2")
    sys.exit(run_program("call again", lambda: parallel.side_by_side(table, lab, [None], jobs=2) or 0))
