import functools
from pathlib import Path

import pytest
import torch
import yaml

from studygroup.cli import main
from studygroup.data import PadCropFlip
from studygroup.training import ConfigurationChangedError, MultiStep, Settings, methods
from studygroup.training.config import check_same, plain


def test_a_configuration_is_complete_and_comes_back():
    settings = Settings(
        recipe=functools.partial(methods.cgl, students=4),
        optimizer=functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True),
        rate=MultiStep(multiply=0.1, milestones=(3, 5)),
        augment=PadCropFlip(padding=2),
        epochs=7,
    )
    config = settings.config()
    assert config["recipe"]["init_args"]["students"] == 4
    assert config["recipe"]["init_args"]["probability"] == 0.25
    assert config["optimizer"]["init_args"]["momentum"] == 0.9
    assert config["rate"]["init_args"] == {"multiply": 0.1, "milestones": [3, 5]}
    assert config["augment"]["init_args"] == {"padding": 2, "flip": True}
    assert Settings.from_config(config).config() == config


def test_a_bare_name_is_torchs_whatever_else_was_imported():
    class Adafactor(torch.optim.SGD):
        """As transformers has one of that name."""

    globals()["Adafactor"] = Adafactor
    Adafactor.__qualname__ = "Adafactor"
    try:
        config = Settings.from_config(
            {"optimizer": {"class_path": "Adafactor", "init_args": {"d": 2.0}}}
        ).config()
    finally:
        del globals()["Adafactor"]
    assert config["optimizer"]["class_path"] == "torch.optim.Adafactor"
    assert config["optimizer"]["init_args"]["d"] == 2.0


def test_every_recipe_can_be_named_with_its_own_arguments():
    from studygroup import recipes

    needs_more = {"tree", "auxiliary_training", "byot", "distillation"}  # a table, inner layers, a teacher
    for name in set(recipes.__all__) - needs_more:
        assert Settings.from_config({"recipe": name}).method_name == name
    with pytest.raises(ValueError, match="studnets"):
        Settings.from_config({"recipe": {"class_path": "cgl", "init_args": {"studnets": 3}}})


def test_another_recipe_or_optimiser_begins_with_defaults_of_its_own(tmp_path, capsys):
    """A parser would hand arguments of equal names on: DML with CGL's eight students and temperature."""
    (tmp_path / "cgl.yaml").write_text(
        "recipe: {class_path: cgl, init_args: {students: 5, temperature: 2.0}}"
    )
    for given in ([], ["--config", str(tmp_path / "cgl.yaml")]):
        with pytest.raises(SystemExit):
            main(["train", *given, "--recipe", "dml", "--optimizer", "SGD", "--print_config"])
        config = yaml.safe_load(capsys.readouterr().out)
        assert config["recipe"]["init_args"]["students"] == 3
        assert config["recipe"]["init_args"]["temperature"] == 1.0
        assert config["optimizer"]["init_args"]["lr"] == 0.001
    config = Settings.from_config({"recipe": "dml"}).config()
    assert config["recipe"]["init_args"]["students"] == 3


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="epocs"):
        Settings.from_config({"epocs": 3})


def test_what_no_file_can_hold_is_refused():
    with pytest.raises(ValueError, match="top level of a module"):
        plain(lambda model, seed: None)
    with pytest.raises(ValueError, match="importable function or class"):
        plain(torch.nn.Linear(1, 1))


def test_only_the_default_network_is_thin_by_default():
    assert Settings().model_options == {"width": 16}
    assert Settings(model="timm/resnet18").model_options == {}


def test_differences_are_named_with_both_values():
    with pytest.raises(ConfigurationChangedError, match=r"rate\.lr: 1 there, 2 now; seed: None there, 0 now"):
        check_same(
            {"rate": {"lr": 1}, "workers": 0}, {"rate": {"lr": 2}, "workers": 3, "seed": 0},
            ignore=("workers",), where="x",
        )  # fmt: skip
    check_same({"workers": 0}, {"workers": 2}, ignore=("workers",), where="x")


EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_is_a_configuration(path):
    settings = Settings.from_config(yaml.safe_load(path.read_text()))
    assert Settings.from_config(settings.config()).config() == settings.config()


def test_the_first_example_is_the_default():
    assert (
        Settings.from_config(yaml.safe_load((EXAMPLES / "cgl.yaml").read_text())).config()
        == Settings().config()
    )
