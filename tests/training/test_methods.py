import inspect

import pytest
import torch
import yaml
from torch import nn

import studygroup as sg
from studygroup import models
from studygroup.cli import main
from studygroup.training import Settings, methods
from studygroup.training.methods import method

X = torch.zeros(2, 3, 8, 8)


def test_layers_default_to_the_networks_blocks_and_the_seed_is_the_runs():
    net = models.build("cifar_resnet18", classes=3, width=4)
    task = methods.cgl(net, 5, X, students=4)
    again = models.build("cifar_resnet18", classes=3, width=4)
    own = sg.recipes.cgl(again, layers=models.blocks(again), students=4, seed=5)
    assert task.group.routes == own.group.routes
    assert task.seed == 5


def test_named_layers_stay():
    net = models.build("cifar_resnet18", classes=3, width=4)
    assert methods.cgl(net, 0, X, layers=("layer1.0",), students=2).group.routes.layers == ("layer1.0",)


def test_a_recipe_without_seed_or_layers_gets_neither():
    assert methods.baseline(nn.Sequential(nn.Linear(2, 2)), 3, X).group.students == 1


def test_the_signature_keeps_the_recipes_own_arguments():
    def recipe(
        model: nn.Module, *, layers: tuple[str, ...], width: int = 3, seed: int = 0
    ) -> sg.CollaborativeLearning:
        """A method."""
        return sg.recipes.baseline(model)

    parameters = inspect.signature(method(recipe)).parameters
    assert list(parameters) == ["model", "seed", "example", "layers", "width"]
    assert parameters["layers"].default == ()
    with pytest.raises(TypeError):
        method(recipe)(nn.Linear(1, 1), 0, X, layers=("",), widht=3)


def test_a_teacher_is_named_with_arguments_of_its_own(capsys):
    arguments = ["--recipe.teacher", "studygroup.listen.GeneralTeacher", "--recipe.teacher.decay", "0.5"]
    with pytest.raises(SystemExit):
        main(["train", "--recipe", "kdcl", *arguments, "--print_config"])
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["recipe"]["init_args"]["teacher"]["init_args"]["decay"] == 0.5
    settings = Settings.from_config({"recipe": config["recipe"]})
    assert settings.config()["recipe"] == config["recipe"]
    task = settings.recipe(models.build("cifar_resnet18", classes=3, width=4), 0, X)
    assert isinstance(task.listen, sg.listen.GeneralTeacher)
    assert (task.listen.decay, task.listen.ridge, task.group.students) == (0.5, 1e-3, 3)


def test_a_weight_may_also_be_a_class_with_arguments():
    """Parts of intra: as a configuration names them, as the run makes them, and back."""
    mid = {"class_path": "LocalClassifiers", "init_args": {"alpha": 0.1}}
    recipe = {"class_path": "intra", "init_args": {"mid": mid, "kernel": 1}}
    settings = Settings.from_config({"recipe": recipe})
    assert Settings.from_config(settings.config()).config() == settings.config()
    task = settings.recipe(models.build("cifar_resnet18", classes=3, width=4), 0, torch.randn(2, 3, 16, 16))
    assert [type(part).__name__ for part in task.auxiliary] == ["LocalClassifiers", "KernelDecorrelation"]
    assert (task.auxiliary[0].alpha, task.auxiliary[0].weight(0.0), task.auxiliary[1].weight(0.0)) == (
        0.1,
        1,
        1,
    )
