"""Two trainings that begin at once in one folder: one is made, whole, and the other is told so."""

import json
import subprocess

import pytest

from helpers.killing import HELPERS, started


@pytest.mark.slow
def test_one_wins_and_its_folder_is_whole(tmp_path):
    process = started(HELPERS / "two_at_once.py", tmp_path, "10", stdout=subprocess.PIPE, text=True)
    tries = [json.loads(line) for line in process.communicate()[0].splitlines()]
    assert len(tries) == 10
    for found in tries:
        (winner,) = (int(seed) for seed, code in found["codes"].items() if code == 0)
        assert found["codes"][str(1 - winner)] == 1
        assert found["config"] == found["summary"] == found["weights"] == winner
        assert (
            "is in use by process" in found["said"][1 - winner] or "is not empty" in found["said"][1 - winner]
        )
        assert "Traceback" not in "".join(found["said"])
