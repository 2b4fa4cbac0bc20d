"""A command line as typed."""

import pytest

from studygroup.training.settings import Settings
from studygroup.training.typed import read_typed, without_settings


def test_settings_are_taken_out_of_a_command():
    given = (
        "compare --configs [a.yaml] --epochs 5 --optimizer.lr=0.01 --channels_last --recipe dml --seeds [0]"
    )
    words, found = without_settings(given.split(), {"epochs", "optimizer", "channels_last", "recipe", "seed"})
    assert words == ["compare", "--configs", "[a.yaml]", "--seeds", "[0]"]
    assert found == {"epochs": 5, "optimizer.lr": 0.01, "channels_last": True, "recipe": "dml"}


@pytest.mark.parametrize("name", ["123", "1e3", "true", "null", "2020-01-01", "[a]", "~"])
def test_texts_stay_texts_whatever_they_look_like(name):
    given = ["compare", f"--data={name}", "--model", name, "--epochs", "3"]
    words, found = without_settings(given, {"data", "model", "epochs"})
    assert words == ["compare"]
    assert found == {"data": name, "model": name, "epochs": 3}
    assert Settings.from_config({}, overrides={"data": name}).data == name


@pytest.mark.parametrize("name", ["data", "epochs", "recipe", "baseline"])
def test_an_empty_setting_is_named_with_its_file(name, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"{name}:\nthreads:\n")
    with pytest.raises(ValueError, match=f"{path}: {name} is null; give a value, or leave it out"):
        read_typed(["train", f"--config={path}"]).files()
    kept = read_typed(["train", f"--config={path}", f"--{name}=3"]).files()
    assert kept == {str(path): {name: None, "threads": None}}


def test_an_error_names_the_file_of_its_value_unless_it_was_typed():
    files = {"a.yaml": {"recipe": {"init_args": {"temperature": 0}}, "seed": 1}}
    typed = read_typed(["train", "--config=a.yaml", "--recipe.overlap=2"])
    assert typed.place_of("temperature is 0; give more", files) == "a.yaml: "
    assert typed.place_of("overlap is 2; give less", files) == ""
    both = read_typed(["train", "--config=a.yaml", "--recipe.temperature", "0"])
    assert both.place_of("temperature is 0; give more", files) == ""
