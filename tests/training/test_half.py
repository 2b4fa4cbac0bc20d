"""The precision of runs that leave it open: bfloat16 where it pays, kept when they go on."""

import dataclasses
from unittest.mock import create_autospec

import pytest

from helpers.made_up import image_files
from helpers.small_run import small
from studygroup.cli import main
from studygroup.data import load
from studygroup.data.form import Form
from studygroup.training import Settings, train
from studygroup.training import half as module
from studygroup.training.half import native_bfloat16, settled


@pytest.fixture
def native(monkeypatch):
    """A processor with instructions for bfloat16."""
    monkeypatch.setattr(module, "native_bfloat16", lambda: True)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    for split in ("train", "test"):
        image_files(folder / split, {"cat": 30, "dog": 30}, size=(8, 8))
    return folder


def of(folder, **changes):
    sizes = {"train_rows": 40, "holdout": 10, "test_rows": 20, "epochs": 2}
    return small(data=str(folder), **(sizes | changes))


def test_pictures_are_computed_in_bfloat16_where_the_processor_can(native, pictures):
    assert settled(of(pictures), load(str(pictures))).precision == "bf16-mixed"


def test_elsewhere_in_single_precision(monkeypatch, pictures):
    monkeypatch.setattr(module, "native_bfloat16", lambda: False)
    assert settled(of(pictures), load(str(pictures))).precision == "32-true"


@pytest.mark.usefixtures("native")
def test_digits_texts_and_several_processes_are_in_single_precision(pictures):
    digits = small()
    assert settled(digits, digits.load_data()).precision == "32-true"
    data = load(str(pictures))
    assert settled(of(pictures, devices=2, strategy="ddp"), data).precision == "32-true"
    texts = dataclasses.replace(data, form=create_autospec(Form, instance=True))
    assert settled(of(pictures), texts).precision == "32-true"


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-true", "bf16-mixed"])
def test_what_is_given_stays(precision, pictures):
    assert settled(of(pictures, precision=precision), load(str(pictures))).precision == precision


def test_what_was_chosen_is_kept_and_said(native, pictures, tmp_path, capsys, monkeypatch):
    result = train(of(pictures), run_dir=tmp_path / "run", progress_bar=False)
    assert result.folder.read_config()["precision"] == "bf16-mixed"
    assert result.summary.run.precision == "bf16-mixed"
    result.folder.summary.unlink()
    monkeypatch.setattr(module, "native_bfloat16", lambda: False)  # goes on at another machine
    again = train(of(pictures), run_dir=tmp_path / "run", resume=True, progress_bar=False)
    assert again.summary.run.precision == "bf16-mixed"
    assert again.summary.shipped == result.summary.shipped
    config = result.folder.config
    assert main(["train", "--config", str(config), "--run_dir", str(tmp_path / "run"), "--resume"]) == 0
    said = capsys.readouterr().out
    assert (
        "Layers were trained in bfloat16, all else in single precision; --precision 32-true turns this off."
        in said
    )


@pytest.mark.usefixtures("native")
def test_it_can_be_turned_off_and_the_method_and_the_plain_network_are_alike(pictures, tmp_path):
    for given, expected in ((None, "bf16-mixed"), ("32-true", "32-true")):
        changes = {} if given is None else {"precision": given}
        settings = of(pictures, baseline=True, **changes)
        result = train(settings, run_dir=tmp_path / expected, progress_bar=False)
        for folder in (result.folder, result.folder.baseline):
            assert Settings.from_config(folder.read_config()).precision == expected


def test_the_processors_own_flags_tell(tmp_path, monkeypatch):
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(module, "Path", lambda name: info)
    for flags, expected in (
        ("sse4_2 avx512f", False),
        ("avx512f avx512_bf16", True),
        ("amx_bf16 amx_tile", True),
    ):
        info.write_text(f"processor\t: 0\nflags\t\t: fpu {flags} vme\n")
        native_bfloat16.cache_clear()
        assert native_bfloat16() is expected
    info.unlink()
    native_bfloat16.cache_clear()
    assert native_bfloat16() is False
    native_bfloat16.cache_clear()
