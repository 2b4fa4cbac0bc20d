"""Runs as submitit's jobs: in this process, as processes of this machine, and with stand-ins for Slurm's commands."""

import logging
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import fake_slurm
import pytest
from small_papers import papers
from spread_papers import ANSWER, HERE, TABLE, lab, results, two_runs

from reproduction.spread import on_slurm, orders, submissions
from reproduction.spread.orders import Outcome

submitit = pytest.importorskip("submitit", reason="submitit is not installed (studygroup[cluster])")
WORKER = f"sh {HERE / 'quick_worker.sh'}"
SLURM = {"timeout_min": 60, "slurm_python": WORKER}


@pytest.fixture(scope="module")
def runs():
    return two_runs()


@pytest.fixture(autouse=True)
def worker(tmp_path, monkeypatch):
    """What stand-ins for jobs hand back and wait for; files, so that a test can change them."""
    answer(tmp_path)
    monkeypatch.setenv("ANSWER", str(tmp_path / "answer"))
    monkeypatch.setenv("WAIT", str(tmp_path / "wait"))
    monkeypatch.setattr(submitit.core.core.Job, "_results_timeout_s", 0)
    return tmp_path


def answer(folder, outcome=ANSWER, *, name="answer"):
    submitit.core.utils.cloudpickle_dump(("success", outcome), folder / name)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Slurm's commands, and the folder of their states."""
    fake_slurm.install(tmp_path / "bin")
    (tmp_path / "states").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("FAKE_SLURM", str(tmp_path / "states"))
    # an array asks Slurm for a state at growing intervals; a test has no such time
    monkeypatch.setattr(submitit.SlurmJob.watcher, "_delay_s", 0.1)
    return tmp_path / "states"


def states(folder):
    return sorted(path.read_text() for path in folder.iterdir() if path.name[0].isdigit())


@pytest.fixture
def held_back(tmp_path, monkeypatch):
    """Jobs end once a coordinator of this process has asked for all of them and begins to wait."""
    wait = tmp_path / "wait"
    wait.touch()

    def sleep(seconds):
        wait.unlink(missing_ok=True)
        time.sleep(seconds)

    monkeypatch.setattr(orders, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))


@pytest.fixture
def closed_logs(monkeypatch):
    """Closes the logs that submitit's debug executor leaves open."""
    opened = []

    class Closed(logging.FileHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            opened.append(self)

    monkeypatch.setattr(logging, "FileHandler", Closed)
    yield
    for handler in opened:
        handler.close()


def test_jobs_of_this_process(runs, tmp_path, monkeypatch, capsys, closed_logs):
    """A failed run is told with its log, the others go on, the exit status is 1; then it is made."""
    monkeypatch.setattr(orders, "made", lambda lab, run: {"test": 1 / len(run.cell.place[1])})
    debug = ["--on=slurm", '--cluster={"cluster": "debug", "timeout_min": 1}', "--seeds=1"]
    with monkeypatch.context() as patch:
        patch.setattr(orders, "made", fails_for_cgl)
        assert papers("run", tmp_path, *debug, "--data=cifar10=digits") == 1
    assert results(tmp_path) == {"baseline": 0.25}
    said = capsys.readouterr().err
    assert f"{runs[1]}: ValueError: no such thing (job DEBUG_" in said
    assert "1 of 2 runs failed" in said
    monkeypatch.setattr("reproduction.show.shown", lambda table, lab, **more: "")
    assert papers("run", tmp_path, *debug) == 0
    assert results(tmp_path) == {"baseline": 0.25, "CGL": 1 / 3}


def fails_for_cgl(lab, run):
    if run.cell.place[1] == "CGL":
        raise ValueError("no such thing")
    return {"test": 0.25}


def test_jobs_of_this_machine(runs, tmp_path, capsys):
    local = {"cluster": "local", "timeout_min": 60, "local_python": WORKER}
    on_slurm(TABLE, lab(tmp_path), runs, jobs=1, cluster=local)
    assert results(tmp_path) == {"baseline": 0.5, "CGL": 0.5}
    said = capsys.readouterr().err
    assert said.count("submitted 1 jobs\n") == 2  # one at a time
    assert not list((tmp_path / "jobs").glob("*.json"))
    assert len(list((tmp_path / "jobs" / "submitit").glob("*_log.err"))) == 2


def test_a_worker_that_is_killed_is_told(runs, tmp_path, capsys):
    (tmp_path / "answer").write_bytes(b"")
    local = {"cluster": "local", "timeout_min": 60, "local_python": WORKER}
    with pytest.raises(RuntimeError, match="1 of 1 runs failed"):
        on_slurm(TABLE, lab(tmp_path), runs[:1], jobs=1, cluster=local)
    said = capsys.readouterr().err
    assert "has not produced any output" in said
    assert "speaks" in said
    assert "_log.err)" in said
    assert not list((tmp_path / "jobs").glob("*.json"))


def test_an_array_has_a_task_for_each_run(runs, tmp_path, slurm, capsys):
    answer(tmp_path, Outcome(words="ValueError: no", failed=True), name="answer-1")
    with pytest.raises(RuntimeError, match="1 of 2 runs failed"):
        on_slurm(TABLE, lab(tmp_path), runs, jobs=7, cluster=SLURM | {"slurm_partition": "gpu"})
    assert results(tmp_path) == {"baseline": 0.5}
    said = capsys.readouterr().err
    assert "submitted 2 jobs; they go on without this command, `scancel " in said
    assert f"{runs[1]}: ValueError: no (job " in said
    (script,) = (tmp_path / "jobs" / "submitit").glob("*_submission.sh")
    lines = script.read_text().splitlines()
    assert {"#SBATCH --array=0-1%2", "#SBATCH --partition=gpu", "#SBATCH --time=60"} <= {*lines}
    assert "#SBATCH --job-name=cgl-table-2" in lines


def test_a_task_that_is_killed_is_told_and_made_by_the_next_call(runs, tmp_path, slurm, capsys):
    (tmp_path / "answer-0").write_bytes(b"")
    with pytest.raises(RuntimeError, match="1 of 2 runs failed"):
        on_slurm(TABLE, lab(tmp_path), runs, jobs=None, cluster=SLURM)
    assert results(tmp_path) == {"CGL": 0.5}
    assert "(state: FAILED)" in capsys.readouterr().err
    on_slurm(TABLE, lab(tmp_path), runs[:1], jobs=None, cluster=SLURM)
    assert results(tmp_path) == {"baseline": 0.5, "CGL": 0.5}


def coordinator(folder, slurm):
    """A call that is killed as soon as its jobs are submitted and written down."""
    code = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "from pathlib import Path; from spread_papers import *; from reproduction.spread import on_slurm\n"
        f"on_slurm(TABLE, lab(Path({str(folder)!r})), two_runs(), jobs=None, cluster={SLURM!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    while len(list((folder / "jobs").glob("*.json"))) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_a_coordinator_is_killed(runs, tmp_path, slurm, held_back, capsys):
    """The next call waits for the jobs of the first, and submits none."""
    coordinator(tmp_path, slurm)
    jobs = {submissions.read(lab(tmp_path), run).job for run in runs}
    assert len(jobs) == 2
    wait_for(lambda: states(slurm) == ["RUNNING", "RUNNING"])
    on_slurm(TABLE, lab(tmp_path), runs, jobs=None, cluster=SLURM)
    assert results(tmp_path) == {"baseline": 0.5, "CGL": 0.5}
    said = capsys.readouterr().err
    assert said.count("of an earlier call, running") == 2
    assert "submitted" not in said
    assert len(states(slurm)) == 2


def submitted(folder, runs, slurm):
    """Jobs of an earlier call, which is over."""
    from reproduction.spread.slurm import _Slurm

    _Slurm(lab(folder), "earlier", SLURM, jobs=None).start(runs)
    submitit.SlurmJob.watcher.clear()


def wait_for(true, *, seconds=600):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_called_again_while_jobs_run(runs, tmp_path, slurm, held_back, capsys):
    submitted(tmp_path, runs, slurm)
    wait_for(lambda: states(slurm) == ["RUNNING", "RUNNING"])
    on_slurm(TABLE, lab(tmp_path), runs, jobs=None, cluster=SLURM)
    assert results(tmp_path) == {"baseline": 0.5, "CGL": 0.5}
    said = capsys.readouterr().err
    assert said.count("of an earlier call, running") == 2
    assert said.count("submitted") == 1  # by the earlier call
    assert len(states(slurm)) == 2
    assert not list((tmp_path / "jobs").glob("*.json"))


def test_called_again_when_jobs_have_ended(runs, tmp_path, slurm, capsys):
    """What an ended job left is kept; what left nothing is submitted again; nothing of the first call is lost."""
    (tmp_path / "answer-1").write_bytes(b"")
    submitted(tmp_path, runs, slurm)
    wait_for(lambda: states(slurm) == ["COMPLETED", "FAILED"])
    answer(tmp_path, Outcome({"test": 0.75}))
    on_slurm(TABLE, lab(tmp_path), runs, jobs=None, cluster=SLURM)
    assert results(tmp_path) == {"baseline": 0.5, "CGL": 0.75}
    assert "submitted 1 jobs" in capsys.readouterr().err
    assert states(slurm) == ["COMPLETED", "COMPLETED", "FAILED"]


def test_a_job_that_slurm_does_not_know_is_waited_for(runs, tmp_path, slurm, capsys):
    from reproduction.spread.slurm import _Slurm

    submissions.write(lab(tmp_path), runs[0], submissions.Submission("slurm", "7"))
    (job,) = _Slurm(lab(tmp_path), "name", SLURM, jobs=None).start(runs[:1])
    assert not job.done()
    said = capsys.readouterr().err
    assert "waiting for job 7 (slurm) of an earlier call, unknown" in said
    assert f"remove {submissions.file(lab(tmp_path), runs[0])} and call again" in said


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        ({}, 'how long a job may take.*{"timeout_min": 600}'),
        ({"timeout_min": 60, "nodes": 2}, "one process on one machine, --cluster has nodes: 2"),
        ({"timeout_min": 60, "slurm_gpu": 1}, "submitit does not take .*slurm_gpu"),
        ({"timeout_min": "5"}, "submitit does not take .*timeout_min"),
        ({"timeout_min": 60, "cluster": "pbs"}, "submitit does not take .*pbs"),
    ],
)
def test_what_submitit_does_not_take(runs, tmp_path, slurm, cluster, words):
    with pytest.raises(ValueError, match=words):
        on_slurm(TABLE, lab(tmp_path), runs, jobs=None, cluster=cluster)


def test_no_slurm_here(runs, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="srun"):
        on_slurm(TABLE, lab(tmp_path), runs, jobs=None, cluster={"timeout_min": 60})
