"""Runs a table in a process that may kill itself (SIGKILL): `killed_papers.py FOLDER UPDATE`, 0 for never."""

import sys
from pathlib import Path

import torch
from small_papers import papers

from helpers.killing import kill_at

if __name__ == "__main__":
    torch.set_num_threads(1)
    kill_at(int(sys.argv[2]))
    sys.exit(papers("run", Path(sys.argv[1]), "--data=cifar10=digits"))
