"""A grid on a cluster of Ray with several nodes, one of which dies in the middle; in a process of its own."""

import os
import subprocess
import sys

import pytest
from cluster_papers import HERE
from small_papers import kept, papers

pytestmark = pytest.mark.long


def without_curves(folder):
    return {run: {k: v for k, v in found.items() if k != "curve"} for run, found in kept(folder).items()}


def test_the_run_of_a_node_that_dies_goes_on_at_another(tmp_path):
    """All four runs end with the figures that they have in one process."""
    pytest.importorskip("ray", reason="Ray is not installed (240 MB; studygroup[cluster])")
    assert papers("run", tmp_path / "whole", "--data=cifar10=digits") == 0
    paths = [str(HERE), str(HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    steps, lost = tmp_path / "steps", tmp_path / "lost"
    said = {"STEPS": str(steps), "LOST": str(lost), "END": "0", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, str(HERE / "losing_node.py"), str(tmp_path / "ray")],
        env=os.environ | said | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert ended.returncode == 0, ended.stderr
    assert lost.exists()
    assert len(set(steps.read_text().split())) == 5  # processes that trained: one for each run, and one again
    found = without_curves(tmp_path / "ray")
    assert len(found) == 4
    assert found == without_curves(tmp_path / "whole")
