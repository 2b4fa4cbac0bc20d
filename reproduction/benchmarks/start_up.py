"""Seconds until the command line answers: help, version, a mistyped word, and the first line of a training.

    python -m reproduction.benchmarks.start_up

Each is called five times, alternating, in a new process; shown are median, least and most wall-clock time.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

CALLS: dict[str, Sequence[str]] = {
    "studygroup --help": ["--help"],
    "studygroup --version": ["--version"],
    "studygroup train --help": ["train", "--help"],
    "studygroup train --recipe.help cgl": ["train", "--recipe.help", "cgl"],
    "studygroup trian": ["trian"],
    "studygroup train --recipe.studnets 4": ["train", "--recipe.studnets", "4"],
    "studygroup train --epochs 1, its first line": ["train", "--epochs", "1", "--train_rows", "60"],
}
TURNS = 5


def seconds(words: Sequence[str], folder: str) -> float:
    """Return the seconds until a call has printed its first line.

    Args:
        words: the command line.
        folder: the working directory.
    """
    start = time.perf_counter()
    code = "from studygroup.program import main; raise SystemExit(main())"
    call = [sys.executable, "-c", code, *words]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder) as process:
        assert process.stdout is not None
        process.stdout.readline()
        took = time.perf_counter() - start
        process.kill()
    return took


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        found: dict[str, list[float]] = {name: [] for name in CALLS}
        for _ in range(TURNS):
            for name, words in CALLS.items():
                found[name].append(seconds(words, place))
    for name, times in found.items():
        print(f"{name}: {statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})")
