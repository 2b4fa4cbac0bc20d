"""The commands of Slurm that submitit calls, as processes of this machine: `fake_slurm.py COMMAND ARGUMENT...`.

A job's state is a file called by its id in the folder FAKE_SLURM. Limits, and whose turn it is, are left out.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = ("sbatch", "srun", "sacct", "scontrol")


def install(folder):
    """Puts the commands into a folder, which is to come first in PATH, with FAKE_SLURM beside it."""
    folder.mkdir()
    for name in COMMANDS:
        command = folder / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -S {Path(__file__).resolve()} {name} "$@"\n')
        command.chmod(0o755)


def states():
    return Path(os.environ["FAKE_SLURM"])


def write(job, state):
    """Whole at once: a state that is half written would be an end that submitit knows nothing of."""
    hidden = states() / f".{job}"
    hidden.write_text(state)
    hidden.replace(states() / job)


def sbatch(script):
    """Starts the tasks of a job; they outlive whoever asked for them."""
    job = str(time.time_ns() // 1000)  # submitit remembers ids for as long as its process lives
    array = re.search(r"--array=0-(\d+)", Path(script).read_text())
    for index in range(int(array[1]) + 1) if array else [None]:
        one = job if index is None else f"{job}_{index}"
        write(one, "PENDING")
        # the script is moved as soon as this command ends
        command = [sys.executable, "-S", __file__, "task", one, Path(script).read_text()]
        with (states() / f"log-{one}").open("w") as log:
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
    print(f"Submitted batch job {job}")


def task(job, script):
    """Runs a task, again as long as someone asks for that."""
    array, _, index = job.partition("_")
    own = {"SLURM_JOB_ID": array, "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1"}
    own |= dict.fromkeys(("SLURM_NODEID", "SLURM_PROCID", "SLURM_LOCALID"), "0")
    if index:
        own |= {"SLURM_ARRAY_JOB_ID": array, "SLURM_ARRAY_TASK_ID": index}
    again = states() / f"again-{job}"
    while True:
        write(job, "RUNNING")
        status = subprocess.run(["bash", "-c", script], env=os.environ | own, check=False).returncode
        if not again.exists():
            break
        again.unlink()
    write(job, "COMPLETED" if status == 0 else "FAILED")


def srun(*arguments):
    """Becomes the command behind the options, its output in files."""
    words = iter(arguments)
    names = {
        "%j": "SLURM_JOB_ID",
        "%A": "SLURM_ARRAY_JOB_ID",
        "%a": "SLURM_ARRAY_TASK_ID",
        "%t": "SLURM_PROCID",
    }
    for word in words:
        if word in ("--output", "--error"):
            name = re.sub("%[jAat]", lambda found: os.environ[names[found[0]]], next(words))
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(file, 1 if word == "--output" else 2)
        elif not word.startswith("--"):
            os.execvp(word, [word, *words])


def sacct(*arguments):
    print("JobID|State|NodeList")
    for job in (argument for argument in arguments if argument.isdigit()):
        for path in (*states().glob(job), *states().glob(f"{job}_*")):
            print(f"{path.name}|{path.read_text()}|here")


def scontrol(what, job):
    assert what == "requeue"
    (states() / f"again-{job}").touch()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
