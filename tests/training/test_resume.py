"""A run that is killed goes on to the same weights, bit for bit, as the run that was not."""

import signal

import pytest
import torch

from helpers.killing import HELPERS, started
from helpers.small_run import small
from studygroup.training import RunFolder, train
from studygroup.training.checkpoints import newest_readable
from studygroup.training.history import read_history


def run(folder, moment) -> int:
    code: int = started(HELPERS / "killed_run.py", folder, moment).wait()
    return code


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that was never killed, in this process."""
    path = tmp_path_factory.mktemp("whole") / "run"
    train(small(epochs=3), run_dir=path, progress_bar=False)
    return RunFolder(path)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["in_a_step", "in_a_checkpoint", "after_training"])
def test_kill_and_resume(whole, tmp_path, moment):
    folder = RunFolder(tmp_path / "run")
    assert run(folder.path, moment) == -signal.SIGKILL
    assert not folder.summary.exists()
    assert run(folder.path, "never") == 0
    assert folder.weights.read_bytes() == whole.weights.read_bytes()
    ours, theirs = (
        newest_readable(folder.checkpoints).state_dict,
        newest_readable(whole.checkpoints).state_dict,
    )
    for name, value in theirs.items():
        same = torch.equal(value, ours[name]) if isinstance(value, torch.Tensor) else None
        assert same or value == ours[name], name
    slow = ("seconds", "cpu_seconds", "rows_per_second")
    assert [
        {k: v for k, v in row.columns().items() if k not in slow} for row in read_history(folder.metrics)
    ] == [{k: v for k, v in row.columns().items() if k not in slow} for row in read_history(whole.metrics)]
    before, after = whole.read_summary(), folder.read_summary()
    assert (after.shipped, after.test, after.holdout) == (before.shipped, before.test, before.holdout)
