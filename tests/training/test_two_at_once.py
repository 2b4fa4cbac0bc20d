"""Two trainings that begin at once in one folder: one is made, whole, and the other is told so."""

import json
import subprocess

import pytest

from helpers.killing import HELPERS, started


@pytest.mark.parametrize(
    "tries", [pytest.param(5, marks=pytest.mark.slow), pytest.param(30, marks=pytest.mark.long)]
)
def test_one_wins_and_its_folder_is_whole(tmp_path, tries):
    """Every wait between the two is tried in five."""
    process = started(HELPERS / "two_at_once.py", tmp_path, str(tries), stdout=subprocess.PIPE, text=True)
    lines = [json.loads(line) for line in process.communicate()[0].splitlines()]
    assert len(lines) == tries
    for found in lines:
        (winner,) = (int(seed) for seed, code in found["codes"].items() if code == 0)
        assert found["codes"][str(1 - winner)] == 1
        assert found["config"] == found["summary"] == found["weights"] == winner
        assert (
            "is in use by process" in found["said"][1 - winner] or "is not empty" in found["said"][1 - winner]
        )
        assert "Traceback" not in "".join(found["said"])
