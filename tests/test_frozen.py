"""What earlier versions wrote is opened: runs, shipped files and the states of tasks."""

import gzip
import json
import shutil
from pathlib import Path

import pytest
import torch

import freeze
from helpers.snapshot_tasks import RECIPES
from studygroup.cli import main
from studygroup.training import RunFolder, Settings, evaluate, export, load_net, predict, train
from studygroup.training.checkpoints import saved

VERSIONS = sorted(path for path in freeze.FROZEN.iterdir() if path.is_dir())


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def version(request) -> Path:
    return request.param


@pytest.fixture
def run(version: Path, tmp_path: Path) -> RunFolder:
    """The run folder as it was left."""
    folder = RunFolder(Path(shutil.copytree(version / "pictures", tmp_path / "pictures")))
    for path in folder.checkpoints.iterdir():
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    return folder


def test_a_run_scores_as_its_summary_says(run):
    found, summary = evaluate(run.path), run.read_summary()
    assert found["test"] == pytest.approx(summary.shipped.test, abs=2 / found["test_rows"])
    assert found["holdout"] == pytest.approx(summary.shipped.holdout, abs=0.02)
    plain = evaluate(run.baseline.path)
    assert plain["test"] == pytest.approx(plain["summary_test"], abs=2 / found["test_rows"])


def test_every_student_of_a_run_is_exported(run, tmp_path):
    summary = run.read_summary()
    student = summary.shipped.student
    own = load_net(export(run.path, output=tmp_path / "own.safetensors")).state_dict()
    for k in range(summary.run.students):
        net = load_net(export(run.path, student=k, output=tmp_path / f"{k}.safetensors"))
        same = [torch.equal(value, own[name]) for name, value in net.state_dict().items()]
        assert all(same) == (k == student)


@pytest.mark.slow
def test_a_run_that_lost_its_last_epoch_goes_on_to_the_same_weights(run):
    before = load_net(run.weights).state_dict()
    for path in (run.summary, run.weights, saved(run.checkpoints)[0]):
        path.unlink()
    assert main(["train", "--config", str(run.config), "--run_dir", str(run.path), "--resume"]) == 0
    after = load_net(run.weights).state_dict()
    assert saved(run.checkpoints)[0].name == "epoch-0003.ckpt"
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=1e-3, atol=1e-3, msg=name)


def test_a_finished_run_is_known_as_finished(run):
    settings = Settings.from_config(run.read_config())
    again = train(settings, run_dir=run.path, resume=True, progress_bar=False)
    assert again.resumed_finished
    assert again.summary == run.read_summary()


@pytest.mark.parametrize("name", ["pictures", "texts"])
def test_what_ships_answers_as_it_did(version, name):
    known = json.loads((version / "predictions.json").read_text())[name]
    asked = [str(version / given) if name == "pictures" else given for given in known]
    for found, expected in zip(predict(asked, folder=version / name), known.values(), strict=True):
        assert found.probabilities == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("recipe", freeze.STATES)
def test_the_state_of_a_task_is_loaded(version, recipe):
    torch.manual_seed(1)
    task = RECIPES[recipe](freeze.CASE)
    known = torch.load(version / f"{recipe}_answers.pt", weights_only=True)
    before = task.eval().shipped(known["x"]).logits
    task.load_state_dict(torch.load(version / f"{recipe}.pt", weights_only=True))
    assert not torch.allclose(before, known["logits"], atol=0.1)
    torch.testing.assert_close(task.shipped(known["x"]).logits, known["logits"], rtol=1e-5, atol=1e-5)
    assert task.step == known["step"] == 1
