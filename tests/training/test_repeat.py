"""A run is repeated from its folder: the same bits are told from others, and what differs beforehand is named."""

import dataclasses
import functools
import gzip
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import load_file, save_file

import freeze
from helpers.small_run import small
from studygroup.cli import main
from studygroup.training import ConfigurationChangedError, RunFolder, Settings, methods, repeat, train
from studygroup.training.checkpoints import saved
from studygroup.training.computing import NOT_DETERMINISTIC, computing
from studygroup.training.provenance import provenance_now, read_provenance
from studygroup.training.repeat import circumstances, describe_circumstances
from studygroup.training.same_results import differing_results

pytestmark = pytest.mark.slow  # whole runs


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """A folder of small pictures of two classes."""
    folder, draw = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for split, count in (("train", 30), ("test", 10)):
        for name in ("a", "b"):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = draw.integers(0, 256, (8, 8), dtype=np.uint8)
                PIL.Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    return folder


def settings(pictures, **changes):
    options = {
        "recipe": functools.partial(methods.dml, students=2),
        "model": "mlp",
        "model_options": {"hidden": [8]},
        "data": str(pictures),
        "train_rows": 60,
        "test_rows": 20,
        "holdout": 12,
        "epochs": 2,
        "threads": 1,
    }
    return small(**(options | changes))


@pytest.fixture(scope="module")
def repeated(pictures, tmp_path_factory) -> Path:
    """A run with its plain network, and beside it its repetition."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(settings(pictures, baseline=True), run_dir=folder, progress_bar=False)
    before = sums(folder)
    assert main(["reproduce", str(folder), "--progress_bar", "false"]) == 0
    assert sums(folder) == before
    return folder


@pytest.fixture
def run(repeated, tmp_path) -> Path:
    """A copy of both."""
    for name in ("run", "run-again"):
        shutil.copytree(repeated.with_name(name), tmp_path / name)
    return tmp_path / "run"


def sums(folder, *, but=""):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != but
    }


def reproduce(run, capsys, *words):
    capsys.readouterr()
    status = main(["reproduce", str(run), "--progress_bar", "false", *words])
    return status, capsys.readouterr()


def test_the_same_run_is_the_same(run, capsys):
    weights = load_file(run / "student.safetensors")
    again = load_file(run.with_name("run-again") / "student.safetensors")
    assert len(weights) > 3
    assert all(torch.equal(value, again[name]) for name, value in weights.items())
    status, said = reproduce(run, capsys, "--resume")
    assert status == 0
    assert "nothing differs of what it records: data, studygroup, python, torch, numpy" in said.out
    assert (
        f"all figures of 2 epochs, all scores and all {len(weights)} tensors of {run} and those of the"
        in said.out
    )
    kept = read_provenance(RunFolder(run))
    assert len(kept.processes) == 1
    assert kept.processes[0].computing["CPU threads"] == "1"
    assert kept == dataclasses.replace(
        read_provenance(RunFolder(run / "baseline")),
        processes=kept.processes,
    )


def test_one_bit_of_one_weight_is_seen(run, capsys):
    path = run / "student.safetensors"
    weights = load_file(path)
    with_facts = path.read_bytes()
    name = next(name for name, value in weights.items() if value.is_floating_point())
    length = int.from_bytes(with_facts[:8], "little")
    start = 8 + length + json.loads(with_facts[8 : 8 + length])[name]["data_offsets"][0]
    path.write_bytes(with_facts[:start] + bytes([with_facts[start] ^ 1]) + with_facts[start + 1 :])
    status, said = reproduce(run, capsys, "--resume")
    assert status == 1
    assert f"shipped weights: 1 of {len(weights)} tensors ({name}), by" in said.out
    assert said.out.count("\n") == 4
    assert "although nothing differs" in said.out


def test_figures_scores_routes_and_other_tensors_are_compared(run):
    again = RunFolder(run.with_name("run-again"))
    assert differing_results(RunFolder(run), again) == []
    for edit, told in (
        (lambda: rewrite(run / "metrics.csv", "\n2,", "\n2,1"), "history: from epoch 2 on (updates"),
        (lambda: change_summary(run, "test", "ensemble", 0.125), "scores: test.ensemble 0.125 there"),
        (lambda: rewrite(run / "routes.json", "0", "1"), "routes: another table"),
        (
            lambda: save_file({"x": torch.ones(1)}, run / "student.safetensors"),
            "shipped weights: 1.bias; 1.weight; 4.bias; and 2 more in one of both alone",
        ),
    ):
        edit()
        found = differing_results(RunFolder(run), again)
        assert [one for one in found if told in one], found
    assert len(found) == 4


def test_the_plain_network_beside_is_compared(run, capsys):
    rewrite(run / "baseline" / "metrics.csv", "\n1,", "\n1,1")
    status, said = reproduce(run, capsys, "--resume")
    assert status == 1
    assert "plain network, history: from epoch 1 on (updates" in said.out


def rewrite(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def change_summary(run, part, name, value):
    content = json.loads((run / "summary.json").read_text())
    content[part][name] = value
    (run / "summary.json").write_text(json.dumps(content))


def test_another_seed_or_other_data_are_told_before_training(run, pictures, tmp_path, capsys):
    rewrite(run / "config.yaml", "seed: 0", "seed: 1")
    other = shutil.copytree(pictures, tmp_path / "others")
    image = np.array(PIL.Image.open(other / "train" / "a" / "3.png"))
    PIL.Image.fromarray(image ^ 64).save(other / "train" / "a" / "3.png")
    rewrite(run / "config.yaml", str(pictures), str(other))
    rewrite(run / "config.yaml", "baseline: true", "baseline: false")
    shutil.rmtree(run / "baseline")
    status, said = reproduce(run, capsys, "--run_dir", str(tmp_path / "new"))
    assert status == 1
    beforehand, verdict = said.out.split("different:")
    assert "configuration: seed: 0 there, 1 now" in beforehand
    assert "data: other training rows" in beforehand
    assert "history: from epoch 1 on (loss" in verdict
    assert "shipped weights:" in verdict
    assert main(["reproduce", str(run), "--run_dir", str(tmp_path / "new"), "--resume"]) == 1
    assert main(["reproduce", str(run), "--run_dir", str(tmp_path / "new")]) == 1
    assert "is not empty" in capsys.readouterr().err


def test_what_was_recorded_otherwise_is_named(run, capsys):
    content = json.loads((run / "provenance.json").read_text())
    process = content["processes"][0]
    process["versions"] |= {"torch": "1.0", "gone": "2"}
    process["computing"]["CPU instructions"] = "abacus"
    process["code"]["studygroup"] = "0"
    process["git"] = {"commit": "0" * 40, "changes": None}
    content["processes"].append(process)
    content["data"]["test labels"] = "0"
    (run / "provenance.json").write_text(json.dumps(content))
    status, said = reproduce(run, capsys, "--resume")
    assert status == 0
    for told in (
        f"torch: 1.0 there, {torch.__version__.partition('+')[0]}",
        "CPU instructions: abacus there",
        "code: the files of studygroup are others",
        "data: other test labels",
        "went on 1 times under other circumstances",
    ):
        assert told in said.out
    assert "gone" not in said.out
    (run / "provenance.json").unlink()
    assert "not recorded: data, device and threads, code, git" in reproduce(run, capsys, "--resume")[1].out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "holds a list"),
        ("{", "cannot be read"),
        ('{"data": {}}', "names no process"),
        ('{"data": {"a": 1}, "processes": []}', "has data.a=1"),
        ('{"data": {}, "processes": [{"since": ""}]}', "lacks processes.versions"),
    ],
)
def test_a_damaged_record_is_refused_by_its_file(content, said, run, capsys):
    (run / "provenance.json").write_text(content)
    status, found = reproduce(run, capsys, "--resume")
    assert status == 1
    assert f"{run}/provenance.json" in found.err
    assert said in found.err


def test_results_that_cannot_be_compared_are_told_before_training(run, capsys):
    (run / "routes.json").write_bytes(b"\xff")
    shutil.rmtree(run.with_name("run-again"))
    status, said = reproduce(run, capsys)
    assert status == 1
    assert "routes.json cannot be read" in said.err
    assert not run.with_name("run-again").exists()


def test_nothing_is_written_into_the_run(run, capsys):
    before = sums(run)
    for place in (run, run / "baseline" / "new", Path(os.path.relpath(run))):
        status, said = reproduce(run, capsys, "--run_dir", str(place), "--resume")
        assert status == 1
        assert "give another --run_dir" in said.err
    assert sums(run) == before
    shutil.rmtree(run.with_name("run-again"))
    (run / "summary.json").unlink()
    status, said = reproduce(run, capsys)
    assert status == 1
    assert "holds no finished run" in said.err
    assert not run.with_name("run-again").exists()


def test_a_run_of_an_earlier_version_says_what_it_does_not_record(tmp_path):
    folder = RunFolder(Path(shutil.copytree(freeze.FROZEN / "0.1.0" / "pictures", tmp_path / "old")))
    for path in folder.checkpoints.iterdir():
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    old = Settings.from_config(folder.read_config())
    found = circumstances(folder, read_provenance(folder), old, old.load_data())
    assert found.unknown == ("data", "device and threads", "code", "git")
    assert {"torch", "python", "studygroup"} <= set(found.compared)
    assert not [one for one in found.differing if one.startswith("configuration")]


@pytest.mark.parametrize("deterministic", [False, True])
def test_on_cuda_what_is_not_deterministic_is_named_with_its_switch(deterministic, run, monkeypatch):
    """As if this machine had one."""

    def on_cuda(*given):
        made = provenance_now(*given)
        told = {"device": "cuda", "deterministic": str(deterministic).lower()}
        process = dataclasses.replace(made.processes[0], computing=made.processes[0].computing | told)
        return dataclasses.replace(made, processes=(process,))

    monkeypatch.setattr(repeat, "provenance_now", on_cuda)
    folder = RunFolder(run)
    same = Settings.from_config(folder.read_config())
    said = describe_circumstances(circumstances(folder, read_provenance(folder), same, same.load_data()))
    named = f"not deterministic on CUDA: {NOT_DETERMINISTIC}; --deterministic switches it off" in said
    assert named is not deterministic


def test_a_run_does_not_go_on_with_other_data(run, pictures):
    (run / "summary.json").unlink()
    saved(RunFolder(run).checkpoints)[0].unlink()
    path, before = pictures / "test" / "b" / "0.png", sums(run, but=".lock")
    kept = path.read_bytes()
    PIL.Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)
    try:
        with pytest.raises(ConfigurationChangedError, match=r"begun with other data \(test rows differ\)"):
            train(settings(pictures, baseline=True), run_dir=run, resume=True, progress_bar=False)
    finally:
        path.write_bytes(kept)
    assert sums(run, but=".lock") == before


@pytest.mark.parametrize("asked", [None, True, False])
def test_deterministic_algorithms_are_used_within_a_run_alone(asked, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    given = small(deterministic=asked, threads=2)
    assert Settings.from_config(given.config()).deterministic is asked
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with computing(given):
            assert torch.are_deterministic_algorithms_enabled() is (asked is not False)
            assert torch.is_deterministic_algorithms_warn_only_enabled() is (asked is None)
            assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) is (asked is True)
            assert torch.get_num_threads() == 2
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.get_num_threads() == 1
        assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    finally:
        torch.use_deterministic_algorithms(False)
