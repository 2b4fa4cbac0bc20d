import functools
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


def net() -> nn.Module:
    return models.build("cifar_resnet18", classes=3, width=4)


def test_layers_default_to_the_networks_blocks_and_the_seed_is_the_runs():
    task = methods.cgl(net(), 5, X, net, students=4)
    own = sg.recipes.cgl(net(), layers=sg.layers.blocks(net()), students=4, seed=5, init="copy")
    assert task.group.routes == own.group.routes
    assert task.seed == 5


def test_layers_that_are_not_named_are_the_recipes_default_in_a_configuration_too():
    plain = Settings.from_config({"recipe": {"class_path": "one", "init_args": {"students": 2}}})
    assert "layers" not in plain.config()["recipe"]["init_args"]
    earlier = Settings.from_config(
        {"recipe": {"class_path": "one", "init_args": {"students": 2, "layers": []}}}
    )
    named = Settings.from_config(
        {"recipe": {"class_path": "one", "init_args": {"layers": ["layer3", "layer4", "fc"]}}}
    )
    found = [some.recipe(net(), 0, X, net).group.routes.layers for some in (plain, earlier, named)]
    assert found == [("layer4", "fc"), ("layer4", "fc"), ("layer3", "layer4", "fc")]


def test_named_layers_stay():
    task = methods.cgl(net(), 0, X, net, layers=("layer1.0",), students=2)
    assert task.group.routes.layers == ("layer1.0",)


@pytest.mark.parametrize("name", ["cifar_resnet18", "cifar_vgg16", "vdcnn9", "text_transformer"])
def test_all_copies_are_drawn_as_a_new_network_is(name):
    """Every parameter with numbers enough has one scale in all modules of a layer, whoever wrote the network."""
    texts = name in ("vdcnn9", "text_transformer")
    sizes = {"vocabulary": 40, "padding": 0} if texts else {"width": 16}
    new = lambda: models.build(name, classes=3, **sizes)
    task = methods.cgl(new(), 0, torch.zeros(2, 3, 32, 32), new, students=4)
    for layer in task.group.routes.layers:
        bank = task.group.model.get_submodule(layer).bank
        assert len(bank) == 2
        for (key, one), other in zip(bank[0].named_parameters(), bank[1].parameters(), strict=True):
            scales = [float(tensor.detach().square().mean().sqrt()) for tensor in (one, other)]
            if one.numel() >= 2000:
                assert scales[1] == pytest.approx(scales[0], rel=0.1), f"{layer}.{key}"
                assert not torch.equal(one, other)


def test_a_recipe_without_seed_or_layers_gets_neither():
    assert methods.baseline(nn.Sequential(nn.Linear(2, 2)), 3, X, net).group.students == 1


def test_the_signature_keeps_the_recipes_own_arguments():
    def recipe(
        model: nn.Module, *, layers: tuple[str, ...], width: int = 3, seed: int = 0
    ) -> sg.CollaborativeLearning:
        """A method."""
        return sg.recipes.baseline(model)

    parameters = inspect.signature(method(recipe)).parameters
    assert list(parameters) == ["model", "seed", "example", "new", "layers", "width"]
    assert parameters["layers"].default is inspect.Parameter.empty
    with pytest.raises(TypeError):
        method(recipe)(nn.Linear(1, 1), 0, X, net, layers=("",), widht=3)


@methods.register_recipe
def pairs(model: nn.Module, *, students: int = 2, new: methods.New) -> sg.CollaborativeLearning:
    """Networks of their own, as `--recipe test_methods.pairs` names it.

    Args:
        students: how many.
    """
    return sg.recipes.dml(model, students=students, init=new)


def plain(model: nn.Module, seed: int) -> sg.CollaborativeLearning:
    return sg.recipes.baseline(model)


def test_a_recipe_of_your_own_is_named_with_its_arguments(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--recipe", f"{__name__}.pairs", "--recipe.students", "5", "--print_config"])
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["recipe"] == {"class_path": f"{__name__}.pairs", "init_args": {"students": 5}}
    settings = Settings.from_config({"recipe": config["recipe"], "data": "digits"})
    assert settings.recipe(net(), 0, X, net).group.students == 5
    assert settings.method_name == "pairs"


def test_recipes_are_taken_by_name_and_as_functions(unchecked):
    for recipe in ("dml", sg.recipes.dml, functools.partial(sg.recipes.dml, students=3), methods.dml):
        settings = Settings(recipe=recipe)
        assert settings.config()["recipe"]["class_path"] == "studygroup.training.methods.dml"
        assert settings.recipe(net(), 0, X, net).group.students == 3
    own = Settings(recipe=plain)
    assert own.config()["recipe"] == f"{__name__}.plain"
    again = Settings.from_config(own.config())
    assert again.config() == own.config()
    assert again.recipe(net(), 0, X, net).group.students == 1
    with pytest.raises(ValueError, match=r"no recipe 'dmll' \(near: 'dml'\)"):
        Settings(recipe="dmll")


def test_a_teacher_is_named_with_arguments_of_its_own(capsys):
    arguments = ["--recipe.teacher", "studygroup.teachers.GeneralTeacher", "--recipe.teacher.decay", "0.5"]
    with pytest.raises(SystemExit):
        main(["train", "--recipe", "kdcl", *arguments, "--print_config"])
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["recipe"]["init_args"]["teacher"]["init_args"]["decay"] == 0.5
    settings = Settings.from_config({"recipe": config["recipe"]})
    assert settings.config()["recipe"] == config["recipe"]
    task = settings.recipe(net(), 0, X, net)
    assert isinstance(task.teachers[0], sg.teachers.GeneralTeacher)
    assert (task.teachers[0].decay, task.teachers[0].ridge, task.group.students) == (0.5, 1e-3, 3)


def test_a_weight_may_also_be_a_class_with_arguments():
    """Parts of intra: as a configuration names them, as the run makes them, and back."""
    mid = {"class_path": "LocalClassifiers", "init_args": {"alpha": 0.1}}
    recipe = {"class_path": "intra", "init_args": {"mid": mid, "kernel": 1}}
    settings = Settings.from_config({"recipe": recipe})
    assert Settings.from_config(settings.config()).config() == settings.config()
    task = settings.recipe(net(), 0, torch.randn(2, 3, 16, 16), net)
    _, mid, kernel = task.objectives
    assert [type(part).__name__ for part in (mid, kernel)] == ["LocalClassifiers", "KernelDecorrelation"]
    assert (mid.alpha, task.weights(0.0)) == (0.1, {"supervised": 1, "mid": 1, "kernel": 1})
