"""Two processes side by side that write down who they are and then wait: called with a folder."""

import importlib
import os
import sys
import time
from pathlib import Path

from reproduction.lab import Lab
from reproduction.reading import table_called
from reproduction.scale import SMALL

parallel = importlib.import_module("reproduction.parallel")


def train_runs(table, lab, runs):
    (lab.run_dir / f"{os.getpid()}.pid").touch()
    time.sleep(300)


parallel.train_runs = train_runs  # in the processes, too: they load this file again

if __name__ == "__main__":
    lab = Lab(run_dir=Path(sys.argv[1]), scale=SMALL)
    parallel.side_by_side(table_called("cgl-table-2"), lab, [None], jobs=2)
