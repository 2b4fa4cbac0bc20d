"""A table's grid on a cluster of Ray with several nodes, one of which dies in the middle."""

import pytest
from small_papers import SMALL, kept, papers

from helpers.losing_node import with_a_node_lost

pytestmark = pytest.mark.long


def without_curves(folder):
    return {run: {k: v for k, v in found.items() if k != "curve"} for run, found in kept(folder).items()}


def test_the_run_of_a_node_that_dies_goes_on_at_another(tmp_path):
    """All four runs end with the figures that they have in one process."""
    pytest.importorskip("ray", reason="Ray is not installed (240 MB; studygroup[cluster])")
    assert papers("run", tmp_path / "whole", "--data=cifar10=digits") == 0
    words = ["run", "cgl-table-2", *SMALL, "--data=cifar10=digits", f"--run_dir={tmp_path / 'ray'}"]
    steps = with_a_node_lost("reproduction", words, tmp_path)
    assert len(steps) == 5  # processes that trained: one for each run, and one again
    found = without_curves(tmp_path / "ray")
    assert len(found) == 4
    assert found == without_curves(tmp_path / "whole")
