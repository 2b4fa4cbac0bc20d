"""A run that is really trained as a task of Ray, which ends in the middle and goes on from its checkpoint."""

import importlib.util
import json
import os
import signal
import subprocess
import sys

import pytest
from cluster_papers import HERE
from small_papers import SMALL, kept, papers

pytestmark = pytest.mark.slow
ONE = [*(option for option in SMALL if not option.startswith(("--only", "--seeds"))), "--seeds=1"]
ONE += ["--only=CIFAR-10, baseline", "--data=cifar10=digits"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run, made here."""
    folder = tmp_path_factory.mktemp("whole")
    assert papers("run", folder, sizes=ONE) == 0
    return outcome(folder)


def outcome(folder):
    """What is kept of the run, but for what a clock says."""
    ((_, run),) = kept(folder).items()
    return {name: value for name, value in run.items() if name != "curve"}


@pytest.fixture
def ends(tmp_path, monkeypatch):
    """Says which signal ends the first job; gives the processes in which training steps were made."""
    monkeypatch.setenv("STEPS", str(tmp_path / "steps"))
    paths = [str(HERE), str(HERE.parent), str(HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def ends(signal):
        monkeypatch.setenv("END", str(int(signal)))
        return tmp_path / "steps"

    return ends


def processes(steps):
    """Training steps of each process, in order: an epoch has 3, and a run 2 epochs."""
    lines = steps.read_text().split()
    return [lines.count(process) for process in dict.fromkeys(lines)]


@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed (240 MB; studygroup[cluster])"
)
def test_a_task_of_ray_that_is_killed(whole, tmp_path, ends):
    """Ray makes it again by itself; in a process of its own, as Ray leaves threads and sockets behind."""
    steps = ends(signal.SIGKILL)
    hook = {"worker_process_setup_hook": "helpers.dying_worker.arm"}
    init = {"num_cpus": 2, "include_dashboard": False, "runtime_env": hook}
    words = ["--on=ray", f"--cluster={json.dumps({'init': init})}"]
    code = f"import sys; from small_papers import papers; sys.exit(papers('run', sys.argv[1], *{words}, sizes={ONE}))"
    ended = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert outcome(tmp_path) == whole
    assert processes(steps) == [5, 3]
    (log,) = (tmp_path / "jobs" / "ray").glob("*.log")
    assert f"log {log}" in ended.stderr
