"""Whole runs on two processes: by the command line, by torchrun, one killed in the middle of an epoch."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from studygroup.cli import main
from studygroup.training import Settings, compare, tune
from studygroup.training.accelerators import check_devices
from studygroup.training.config import changed_keys
from studygroup.training.migrate import ONE_PROCESS
from studygroup.training.processes import is_first

ROOT = Path(__file__).parents[2]
RUN = [
    "train", "--data=digits", "--train_rows=300", "--test_rows=40", "--epochs=2", "--precision=64-true",
    "--model=mlp", "--model_options=null", "--recipe=cgl", "--recipe.students=3", "--progress_bar=false",
    "--accelerator=cpu", "--optimizer=torch.optim.SGD", "--optimizer.lr=0.1", "--optimizer.momentum=0.9",
    "--select=best", "--metrics.f1=torchmetrics.F1Score",
]  # fmt: skip
TWO = ["--devices=2", "--strategy=ddp", "--sync_batchnorm=true"]
CLOCKS = ("seconds", "cpu_seconds", "rows_per_second")


def environment(**more: str) -> dict[str, str]:
    paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"} | more


def call(*words: str, **more: str) -> str:
    ended = subprocess.run(
        [sys.executable, *words],
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


def figures(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open() as file:
        rows = [*csv.DictReader(file)]
    return [{name: float(value) for name, value in row.items() if name not in CLOCKS} for row in rows]


def assert_equal_runs(one: Path, other: Path, *, tolerance: float) -> None:
    a, b = load_file(one / "student.safetensors"), load_file(other / "student.safetensors")
    assert a.keys() == b.keys()
    assert len(a) > 3
    assert max(float((a[k].double() - b[k].double()).abs().max()) for k in a) <= tolerance
    for row, same in zip(figures(one), figures(other), strict=True):
        assert row == pytest.approx(same, rel=max(tolerance, 1e-6), abs=1e-6)


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path):
    """Whole steps, batch norms over both, hold-out rows dealt; the plain network beside it, too."""
    assert main([*RUN, f"--run_dir={tmp_path / 'one'}"]) == 0
    said = call("-m", "studygroup.cli", *RUN, *TWO, f"--run_dir={tmp_path / 'two'}")
    assert said.count("In short") == 1
    assert_equal_runs(tmp_path / "one", tmp_path / "two", tolerance=1e-10)
    assert_equal_runs(tmp_path / "one" / "baseline", tmp_path / "two" / "baseline", tolerance=1e-10)


def elastic(folder: Path, **more: str) -> str:
    words = [
        "--standalone",
        "--nproc_per_node=2",
        "--max-restarts=1",
        str(ROOT / "tests/helpers/dying_rank.py"),
    ]
    options = [
        *RUN,
        *TWO,
        "--recipe.peers=joint",
        "--divide=students",
        f"--run_dir={folder}",
        "--resume",
    ]
    return call("-m", "torch.distributed.run", *words, *options, **more)


@pytest.mark.long
def test_torchrun_starts_a_job_again_when_a_process_is_killed(tmp_path):
    """It goes on from its checkpoint and ends with the same bits as a job that nobody disturbs."""
    elastic(tmp_path / "undisturbed")
    said = elastic(tmp_path / "killed", DIES_AT="4")
    assert "exitcode: -9" in said or "Signal 9" in said
    assert_equal_runs(tmp_path / "undisturbed", tmp_path / "killed", tolerance=0.0)


@pytest.mark.long
def test_in_turn_by_two_processes(tmp_path):
    turn = [word for word in RUN if not word.startswith("--recipe")]
    turn += ["--recipe=dml", "--recipe.in_turn=true", "--recipe.students=2", "--baseline=false"]
    assert main([*turn, f"--run_dir={tmp_path / 'one'}"]) == 0
    call("-m", "studygroup.cli", *turn, *TWO, f"--run_dir={tmp_path / 'two'}")
    assert_equal_runs(tmp_path / "one", tmp_path / "two", tolerance=1e-10)


def test_grids_are_of_runs_of_one_process(tmp_path):
    two = tmp_path / "two.yaml"
    two.write_text("devices: 2\n")
    with pytest.raises(
        ValueError, match="devices=2 and num_nodes=1 divide one run among 2 processes, and tune"
    ):
        tune(Settings(devices=2), search={"seed": [0, 1]}, run_dir=tmp_path / "tuned")
    with pytest.raises(ValueError, match="among 2 processes, and compare makes many"):
        compare([str(two)], run_dir=str(tmp_path / "compared"))


@pytest.mark.parametrize(
    ("said", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"NODE_RANK": "1", "LOCAL_RANK": "0"}, False),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "3", "LOCAL_RANK": "0"}, False),
    ],
)
def test_which_process_is_the_first(said, first, monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert is_first(Settings(devices=2, num_nodes=2)) is first
    assert is_first(Settings())  # of one process, whoever has started it


def test_no_more_devices_than_there_are(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    check_devices("auto", 2)
    check_devices("cpu", 3)
    with pytest.raises(ValueError, match="devices=3, and this machine has 2 GPUs; give at most 2"):
        check_devices("auto", 3)


def test_runs_that_were_begun_earlier_are_of_one_process():
    assert {name: getattr(Settings(), name) for name in ONE_PROCESS} == ONE_PROCESS
    now = Settings().config()
    earlier = {name: value for name, value in now.items() if name not in ONE_PROCESS}
    assert changed_keys(earlier, now) == []
    assert changed_keys(earlier, now | {"devices": 2}) == ["devices: 1 there, 2 now"]
