"""Two trainings with other seeds begin at once in one new folder, again and again: `two_at_once.py FOLDER TRIES`.

Prints a line for each try: the exit statuses, and the seeds of the configuration, the summary and the weights.
"""

import json
import os
import sys
import time
from pathlib import Path

import torch
import yaml

from studygroup.cli import main
from studygroup.training import RunFolder

WORDS = [
    *("train", "--train_rows=60", "--test_rows=40", "--model_options.width=2", "--recipe.students=2"),
    *("--batch_size=16", "--epochs=2", "--baseline=false", "--progress_bar=false"),
]


def begin(folder, seed):
    pid = os.fork()
    if pid == 0:
        with (folder.parent / f"{folder.name}-{seed}.log").open("w") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        os._exit(main([*WORDS, f"--seed={seed}", f"--run_dir={folder}"]))
    return pid


def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    torch.set_num_threads(1)
    place = Path(sys.argv[1])
    alone = {}
    for seed in (0, 1):
        ended(begin(place / f"alone{seed}", seed))
        alone[RunFolder(place / f"alone{seed}").weights.read_bytes()] = seed
    for number in range(int(sys.argv[2])):
        folder = RunFolder(place / f"run{number}")
        first = begin(folder.path, number % 2)
        time.sleep((0, 0, 0.02, 0.1, 0.5)[number % 5])
        second = begin(folder.path, 1 - number % 2)
        found = {
            "codes": {number % 2: ended(first), 1 - number % 2: ended(second)},
            "config": yaml.safe_load(folder.config.read_text())["seed"],
            "summary": folder.read_summary().run.seed,
            "weights": alone.get(folder.weights.read_bytes()),
            "said": [(place / f"run{number}-{seed}.log").read_text() for seed in (0, 1)],
        }
        print(json.dumps(found), flush=True)
