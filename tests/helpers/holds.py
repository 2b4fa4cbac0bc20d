"""Holds a run's folder until it is killed, as does a process that it forks: `holds.py FOLDER`."""

import os
import sys
import time
from pathlib import Path

from studygroup.training.folder import exclusive

if __name__ == "__main__":
    with exclusive(Path(sys.argv[1])):
        print("held", flush=True)
        forked = os.fork()
        if forked:
            print(forked, flush=True)
        time.sleep(100)
