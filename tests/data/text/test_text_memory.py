"""That memory does not grow with the number of rows, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

MEASURE = """
import json, re, resource, sys, threading, time
import torch
from studygroup.data.places import open_source
from studygroup.data.text import encoded
from studygroup.batching import without
from studygroup.data.stratify import stratified

sys.path.insert(0, sys.argv[2])
from helpers.text_rows import WordLengths


def own():
    # what the process has for itself: pages of mapped files, which it need not keep, are not in it
    with open("/proc/self/status") as status:
        return int(re.search(r"RssAnon:\\s+(\\d+)", status.read())[1]) * 1024


highest, done = 0, threading.Event()


def watch():
    global highest
    while not done.wait(0.005):
        highest = max(highest, own())


def phase(name):
    # time and most memory since the phase before
    global highest
    found[name] = {"bytes": max(highest, own()) - start, "seconds": time.perf_counter() - sum(times)}
    times.append(found[name]["seconds"])
    highest = 0


threading.Thread(target=watch, daemon=True).start()
found, start, times = {}, own(), [time.perf_counter()]
source = open_source(sys.argv[1], image_size=None)
phase("opening")
split = encoded(source.train, WordLengths(length=64))
phase("tokenising")
order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
for number in range(100):
    batch, _ = split[order[number * 64 : number * 64 + 64]]
phase("100 batches")
rows = without(len(split), stratified(split.labels, 20_000, seed=0, draw="holdout"))
part = split.take(rows)
phase("hold-out")
done.set()
found["with mapped files"] = {"bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "seconds": 0}
assert len(source.train) == int(sys.argv[3])
print(json.dumps(found))
"""


def measured(folder, rows):
    """Most memory of its own in bytes above the start, and seconds, of each part of the work on `rows` rows."""
    folder.mkdir()
    with (folder / "train.csv").open("w") as file:
        for row in range(rows):
            file.write(
                f'"{row % 5 + 1}","review {row}: {"good " * (row % 5)}{"food and place " * 4}again\\n"\n'
            )
    (folder / "test.csv").write_text('"1","a"\n')
    command = [sys.executable, "-c", MEASURE, str(folder), str(Path(__file__).parents[2]), str(rows)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
def test_memory_does_not_grow_with_the_rows(tmp_path):
    small, large = (measured(tmp_path / str(rows), rows) for rows in (100_000, 1_000_000))
    grown = {part: (large[part]["bytes"] - small[part]["bytes"]) / 900_000 for part in large}
    for part, found in large.items():
        print(
            f"{part}: {grown[part]:.1f} bytes a row, {found['bytes'] / 2**20:.0f} MiB and {found['seconds']:.2f} s "
            "for 1,000,000 rows"
        )
    # a row has about 100 bytes of text; what is kept of it: label 8, row number 8 in texts and 8 in tokens, length 4
    assert grown["opening"] < 40
    assert grown["tokenising"] < 40
    assert grown["100 batches"] < 48  # and 8 of a random order
    assert grown["hold-out"] < 110  # the draw sorts all rows
