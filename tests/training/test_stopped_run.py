"""A run that signals stop at every moment says how to go on, and ends as the one that was not stopped."""

import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

import studygroup.cli as cli
import studygroup.training.run as run
from helpers.killing import HELPERS
from helpers.small_run import small
from studygroup import stopping
from studygroup.training import RunFolder, Settings, train
from studygroup.training.checkpoints import saved
from studygroup.training.module import StudyModule

WORDS = [
    *("train", "--train_rows=120", "--test_rows=40", "--holdout=20", "--model_options.width=4"),
    *("--recipe.students=2", "--batch_size=20", "--epochs=3", "--baseline=false", "--progress_bar=false"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("whole") / "run")
    assert cli.main([*WORDS, f"--run_dir={folder.path}"]) == 0
    return folder


def signalling(function, number, *, at=1):
    """The function, before whose n-th call this process gets a signal."""
    calls = []

    def wrapped(*arguments, **options):
        calls.append(None)
        if len(calls) == at:
            os.kill(os.getpid(), number)
        return function(*arguments, **options)

    return wrapped


MOMENTS = [
    ("loading data", Settings, "load_data", signal.SIGTERM, 1, 0),
    ("before the first epoch", Settings, "build_task", signal.SIGINT, 1, 0),
    ("in an epoch", StudyModule, "training_step", signal.SIGTERM, 4, 2),
    ("in the last epoch", StudyModule, "validation_step", signal.SIGINT, 1, 3),
    ("final evaluation", run, "score", signal.SIGINT, 1, 3),
    ("writing", run, "write_text", signal.SIGTERM, 1, 3),
    ("printing", cli, "describe_run", signal.SIGINT, 1, 3),
]


@pytest.mark.slow
def test_stopped_at_every_moment(whole, tmp_path, capfd):
    folder, again = RunFolder(tmp_path / "run"), []
    short = shlex.join(["studygroup", "train", "--resume", str(folder.path), "--progress_bar=false"])
    whole_line = shlex.join(["studygroup", *WORDS, f"--run_dir={folder.path}", "--resume"])
    for moment, owner, name, number, at, epochs in MOMENTS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stopping, "PATIENCE", 30.0)  # however busy the machine is
            patch.setattr(owner, name, signalling(getattr(owner, name), number, at=at))
            status = cli.main([*WORDS, f"--run_dir={folder.path}", *again])
        said = capfd.readouterr().err
        assert status == 128 + number, moment
        assert said.count("\nstopped by ") == 1, moment
        command = short if folder.config.exists() else whole_line
        assert said.endswith(f"go on with\n  {command}\n"), moment
        assert "Traceback" not in said
        assert len(saved(folder.checkpoints)) == min(epochs, 2), moment
        assert not epochs or saved(folder.checkpoints)[0].name == f"epoch-{epochs:04d}.ckpt", moment
        assert [*folder.path.rglob(".writing-*")] == [], moment
        again = ["--resume"]
    assert cli.main(["train", "--resume", str(folder.path), "--progress_bar=false"]) == 0
    assert folder.weights.read_bytes() == whole.weights.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_in_python_where_an_epoch_takes_long(tmp_path, monkeypatch, number, raised):
    finish_first = stopping.finish_first
    monkeypatch.setattr(stopping, "finish_first", lambda left: finish_first(left and (lambda: 60.0)))
    # three updates an epoch: the second one has begun
    monkeypatch.setattr(StudyModule, "training_step", signalling(StudyModule.training_step, number, at=5))
    handlers = [signal.getsignal(some) for some in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(raised) as error:
        train(small(epochs=3), run_dir=tmp_path / "run", progress_bar=False)
    assert raised is KeyboardInterrupt or error.value.code == 143
    assert [signal.getsignal(some) for some in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert [path.name for path in saved(RunFolder(tmp_path / "run").checkpoints)] == ["epoch-0001.ckpt"]


def children(pid):
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [int(word) for word in listed.split()]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_processes_that_load_data_end_with_the_run(whole, tmp_path, number):
    """As a terminal or a scheduler does, the signal goes to all of them."""
    folder = RunFolder(tmp_path / "run")
    words = [*WORDS, "--workers=2", "--epochs=200", f"--run_dir={folder.path}"]
    program = [sys.executable, "-c", "import sys; from studygroup.program import main; sys.exit(main())"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [*program, *words],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=HELPERS,
    )
    while not saved(folder.checkpoints):
        assert process.poll() is None
        time.sleep(0.05)
    loading = children(process.pid)
    assert len(loading) >= 2
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Traceback" not in said
    again = shlex.join(["studygroup", "train", "--resume", str(folder.path), "--progress_bar=false"])
    assert said.endswith(f"{again}\n")
    assert [pid for pid in loading if os.path.exists(f"/proc/{pid}")] == []
