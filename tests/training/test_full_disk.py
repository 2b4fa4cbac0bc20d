"""A disk that is full at any moment: an error that names the file, and the same result once there is room."""

import resource
import shutil
from contextlib import contextmanager

import pytest
import yaml

from helpers.small_run import small
from studygroup.cli import main
from studygroup.training import RunFolder
from studygroup.training.module import StudyModule

SIZES = (0, 300, 2_000, 20_000, 60_000, 150_000)
"""Largest files, in bytes: from none to all but the checkpoints."""


@contextmanager
def room(size):
    """Let no file grow larger, as on a disk that is full at that moment."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    path.write_text(yaml.safe_dump(small(epochs=2, train_rows=100, holdout=20).config()))
    return path


@pytest.fixture(scope="module")
def whole(config):
    folder = RunFolder(config.parent / "whole")
    assert main(["train", f"--config={config}", f"--run_dir={folder.path}", "--progress_bar=false"]) == 0
    return folder


FULL = "could not be written (File too large): make room there"


def full(command, size, capsys, says=FULL):
    """Run a command without room; whether it failed, as it must say."""
    with room(size):
        status = main(command)
    said = capsys.readouterr().err
    assert "Traceback" not in said
    if status:
        assert says in said
    return bool(status)


def no_litter(folder):
    return not [path for path in folder.rglob("*") if path.name.startswith(".writing-")]


def test_a_training_that_finds_no_room(config, tmp_path, capsys):
    folder = tmp_path / "run"
    command = ["train", f"--config={config}", f"--run_dir={folder}", "--progress_bar=false"]
    assert full(command, 60_000, capsys)
    assert no_litter(folder)
    assert not (folder / "summary.json").exists()


@pytest.mark.slow
def test_training(config, whole, tmp_path, capsys):
    folder, failed = RunFolder(tmp_path / "run"), []
    command = ["train", f"--config={config}", f"--run_dir={folder.path}", "--progress_bar=false", "--resume"]
    for size in SIZES:
        failed.append(full(command, size, capsys))
        assert not folder.summary.exists() or not failed[-1]
        assert no_litter(folder.path)
    assert failed[:4] == [True] * 4
    assert main(command) == 0
    assert folder.weights.read_bytes() == whole.weights.read_bytes()


@pytest.mark.slow
def test_a_search(config, tmp_path, capsys):
    command = ["tune", f"--config={config}", '--search={"optimizer.lr": [0.001, 0.01]}', "--sampler=grid"]
    command += [f"--run_dir={tmp_path / 'tuned'}", "--progress_bar=false"]
    assert full(command, 0, capsys, "study.db")
    assert full(command, 60_000, capsys, "study.db")
    assert full(command, 250_000, capsys)
    assert main(command) == 0
    assert "2 finished" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("format", ["safetensors", "pickle", "torch_export"])
def test_an_export(format, whole, capsys):
    command = ["export", str(whole.path), f"--format={format}"]
    assert full(command, 300, capsys)
    assert full(command, 5_000, capsys)
    assert no_litter(whole.path)
    assert main(command) == 0


@pytest.mark.slow
def test_reports_analyses_and_comparisons(config, whole, tmp_path, capsys):
    report = ["report", str(whole.path), f"--out={tmp_path / 'page.html'}"]
    analysis = ["analyse", "calibration", str(whole.path)]
    compare = ["compare", f"--configs=[{config}]", "--seeds=[0]", f"--run_dir={tmp_path / 'compared'}"]
    for command in (report, analysis):
        assert full(command, 200, capsys)
        assert main(command) == 0
    assert full([*compare, "--progress_bar=false"], 200, capsys)
    assert no_litter(whole.path)


def test_a_folder_that_is_removed_meanwhile(config, tmp_path, monkeypatch, capsys):
    folder, step = tmp_path / "run", StudyModule.training_step

    def training_step(self, batch, batch_idx):
        if self.global_step == 1:
            shutil.rmtree(folder)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(StudyModule, "training_step", training_step)
    assert main(["train", f"--config={config}", f"--run_dir={folder}", "--progress_bar=false"]) == 1
    said = capsys.readouterr().err
    assert "the run folder was removed or emptied while the run trained" in said
    assert "Traceback" not in said
    assert not folder.exists()
