"""`torch.compile` of a task: one graph, the same numbers, and nothing compiled anew when owners change."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.pages import blocks

STEPS = Path(__file__).parent / "helpers" / "compiled_steps.py"


def compared(how, *names):
    """Returns what `compiled_steps` finds, in a process without checks of types."""
    ran = subprocess.run([sys.executable, STEPS, how, *names], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout)


def is_one_graph(result):
    """The first step of a sort is taken as written; a graph follows, and another for the short batch."""
    assert result["graphs"] == [0, 1, 0, 0, 1]
    assert result["difference"] <= 1e-10
    assert result["of the host"] == []
    assert result["numbers"] == []
    assert result["inputs"] > 10
    assert result["breaks"] == []
    assert result["steps"] == [5, 5]


@pytest.mark.slow
def test_a_compiled_task_is_one_graph_whoever_owns_the_rows():
    found = compared("from outside", "cgl")
    is_one_graph(found["cgl"])


@pytest.mark.slow
def test_every_way_of_looking_at_a_network_is_in_the_one_graph():
    names = ("byot", "cl_ilr")
    found = compared("from outside", *names)
    assert list(found) == list(names)
    for name in names:
        is_one_graph(found[name])


@pytest.mark.long
def test_other_recipes_are_one_graph_too():
    names = ("cgl, nobody imitates", "dml", "okddip", "intra_out", "self_distillation")
    for result in compared("from outside", *names).values():
        is_one_graph(result)


@pytest.mark.long
@pytest.mark.parametrize("how", ["in place", "inside a function"])
def test_a_task_compiled_otherwise_is_one_graph_too(how):
    found = compared(how, "cgl", "dml of peers")
    for result in found.values():
        assert result["graphs"] == [0, 1, 0, 0, 1]
        assert result["difference"] <= 1e-10


@pytest.mark.long
def test_a_step_with_a_second_pass_runs_as_written():
    result = compared("from outside", "cgl, two passes")["cgl, two passes"]
    assert result["graphs"] == [0, 0, 0, 0, 0]
    assert result["difference"] == 0.0


@pytest.mark.slow
def test_a_network_compiled_before_it_is_handed_in_is_one_graph_with_its_routing():
    found = compared("the network", "dml", "cgl", "byot")
    for name in ("dml", "cgl"):
        assert found[name]["graphs"] == [0, 1, 0, 0, 1]
    assert found["byot"]["graphs"] == [0, 0, 0, 0, 0]  # its hooks are not part of what was compiled
    for result in found.values():
        assert result["difference"] <= 1e-10
        assert result["breaks"] == []


@pytest.mark.long
def test_the_snippet_of_the_page_runs():
    (code,) = blocks("docs/compile.md")
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
