import functools
import math
from pathlib import Path

import optuna
import pytest
import yaml

from helpers.small_run import small
from studygroup.training import Settings, methods
from studygroup.training.dotted import get_value, with_values
from studygroup.training.rates import Cosine
from studygroup.training.tuning.axes import Range, Values, read_axis
from studygroup.training.tuning.space import read_space

CGL = small()


def drawn(axis, count=200, name="x"):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [axis.draw(study.ask(), name) for _ in range(count)]


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def test_values_go_where_the_command_line_puts_them():
    config = CGL.config()
    changed = with_values(
        config, {"recipe.temperature": 7.0, "epochs": 9, "optimizer.lr": 0.5, "model_options.width": 6}
    )
    settings = Settings.from_config(changed)
    assert settings.recipe.keywords["temperature"] == 7.0
    assert settings.recipe.keywords["students"] == 3  # what is not named stays
    assert (settings.epochs, settings.model_options) == (9, {"width": 6})
    assert changed["optimizer"]["init_args"]["lr"] == 0.5
    assert config == CGL.config()
    assert [get_value(config, name) for name in ("recipe.students", "epochs", "recipe.nothing")] == [
        3,
        3,
        None,
    ]


def test_another_class_takes_its_own_defaults_and_the_arguments_named_beside_it():
    changed = with_values(CGL.config(), {"recipe.temperature": 5.0, "recipe": "dml"})
    assert changed["recipe"] == {"class_path": "dml", "init_args": {"temperature": 5.0}}
    whole = Settings.from_config(changed).config()["recipe"]["init_args"]
    assert (whole["students"], whole["temperature"]) == (3, 5.0)


def test_ranges_draw_what_they_say():
    logs = [math.log10(x) for x in drawn(read_axis("x", {"low": 1e-4, "high": 1, "log": True}, whole=False))]
    assert all(-4 <= x <= 0 for x in logs)
    assert sum(x < -2 for x in logs) == pytest.approx(100, abs=25)  # even in the logarithm
    assert set(drawn(read_axis("x", {"low": 2, "high": 9, "step": 3}, whole=True))) == {2, 5, 8}
    steps = drawn(read_axis("x", {"low": 0.0, "high": 1.0, "step": 0.3}, whole=False))
    assert {round(x, 9) for x in steps} == {0.0, 0.3, 0.6, 0.9}
    assert set(drawn(read_axis("x", {"low": 1, "high": 4}, whole=True))) == {1, 2, 3, 4}
    assert len(set(drawn(read_axis("x", {"low": 1, "high": 4}, whole=False)))) == 200


def test_lists_hold_any_plain_value():
    values = [None, True, "a", 2, ["layer1.0", "layer2.0"], {"class_path": "Cosine"}]
    axis = read_axis("x", values, whole=True)
    assert [value for value in values if value not in drawn(axis)] == []
    assert [axis.value(stored) for stored in axis.stored] == values


def test_a_grid_lists_steps():
    assert Range(0.1, 0.5, step=0.1).listed("x") == Values((0.1, 0.2, 0.3, 0.4, 0.5))
    assert Range(16, 70, step=16, whole=True).listed("x") == Values((16, 32, 48, 64))
    space = read_space(CGL, {"recipe.temperature": [1.0, 2.0], "epochs": {"low": 1, "high": 3, "step": 1}})
    assert space.grid().size() == 6
    assert space.grid().lists() == {"recipe.temperature": [1.0, 2.0], "epochs": [1, 2, 3]}
    with pytest.raises(
        ValueError, match=r"optimizer\.lr is a range without steps.*such as \[0\.01, 0\.1, 1\]"
    ):
        read_space(CGL, {"optimizer.lr": {"low": 0.01, "high": 1.0, "log": True}}).grid()
    with pytest.raises(ValueError, match=r"\[1, 2, 3\], give the range a step, or search"):
        read_space(CGL, {"epochs": {"low": 1, "high": 3}}).grid()


def test_whole_ends_mean_whole_numbers_only_where_the_setting_holds_no_fraction():
    space = read_space(
        CGL,
        {
            "recipe.temperature": {"low": 1, "high": 4},
            "batch_size": {"low": 8, "high": 32},
            "model_options.width": {"low": 4, "high": 8},
            "gradient_clip_val": {"low": 1, "high": 3},  # which has no value yet
            "model_options.blocks": {"low": 1, "high": 3},
        },
    )
    assert [axis.whole for axis in space.axes.values()] == [False, True, True, False, True]
    assert "recipe.temperature: 1 to 4" in str(space)
    assert "batch_size: whole numbers 8 to 32" in str(space)


def test_an_argument_is_checked_against_the_class_that_is_searched_beside_it():
    search = {"rate.multiply": {"low": 0, "high": 1}, "rate": ["MultiStep"]}
    space = read_space(CGL, search)
    assert list(space.axes) == ["rate.multiply", "rate"]
    assert not space.axes["rate.multiply"].whole
    assert space.settings({"rate": "MultiStep", "rate.multiply": 0.3}).rate.multiply == 0.3
    with pytest.raises(ValueError, match=r"there is no setting 'rate\.multiply'"):
        read_space(CGL, {"rate.multiply": [0.1]})


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({}, "the search is empty"),
        ({"recipe.temperatur": [1.0]}, r"no setting 'recipe\.temperatur' \(near: 'recipe\.temperature'"),
        ({"epoch": [1]}, r"no setting 'epoch' \(near: 'epochs'"),
        ({"optimizer.momentum": [0.9]}, r"no setting 'optimizer\.momentum'"),
        ({"epochs": []}, "the list of values of epochs is empty"),
        ({"epochs": 3}, "epochs=3 leaves nothing to search"),
        ({"epochs": "3"}, "epochs='3' leaves nothing to search"),
        ({"epochs": [1, 1]}, "holds a value twice"),
        ({"epochs": ["many"]}, "epochs cannot be 'many'"),
        ({"epochs": {"low": 1.5, "high": 2.5}}, r"epochs cannot be 1\.5"),
        ({"recipe.students": {"low": 2, "high": 4.5}}, r"recipe\.students cannot be 2\.0"),
        ({"optimizer.lr": {"low": 0.1, "high": 0.1}}, "low must be the smaller"),
        ({"optimizer.lr": {"low": 0.2, "high": 0.1}}, "low must be the smaller"),
        ({"optimizer.lr": {"low": 0, "high": 0.1, "log": True}}, "a log scale, which begins above 0"),
        (
            {"optimizer.lr": {"low": 0.1, "high": 1, "log": True, "step": 0.1}},
            "on a log scale; list the values",
        ),
        ({"optimizer.lr": {"low": 0.1, "high": 1, "step": 0}}, "give a positive one"),
        ({"optimizer.lr": {"low": 0.1, "high": 1, "step": 2}}, "that fits in between"),
        ({"optimizer.lr": {"low": 0.1}}, "give finite numbers"),
        ({"optimizer.lr": {"low": "0.1", "high": 1}}, "give finite numbers"),
        ({"optimizer.lr": {"low": 0.1, "high": math.inf}}, "give finite numbers"),
        ({"optimizer.lr": {"low": 0.1, "high": 1, "log": "yes"}}, "true or false for log"),
        ({"optimizer.lr": {"low": 0.1, "hihg": 1}}, r"has no 'hihg' \(near: 'high'\)"),
        ({"seed": [0, 1]}, "decides what trials are scored by"),
        ({"holdout": [0.1, 0.2]}, "decides what trials are scored by"),
        ({"workers": [0, 2]}, "does not bear on the result"),
        ({"devices": [1, 2]}, "divide one run among 2 processes, and tune makes many"),
        ({"optimizer": ["Adam", "LBFGS"]}, "optimizer LBFGS evaluates the loss several times"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_its_reason(search, said):
    with pytest.raises(ValueError, match=said):
        read_space(CGL, search)


def test_a_schedule_is_checked_against_the_epochs_unless_both_are_searched():
    network = small(rate=Cosine(warmup=1.0))
    with pytest.raises(ValueError, match="warmup is 4 of 3 epochs"):
        read_space(network, {"rate.warmup": [0.0, 4.0]})
    with pytest.raises(ValueError, match="warmup is 1 of 1 epochs"):
        read_space(network, {"epochs": [1, 4]})
    assert read_space(network, {"rate.warmup": [0.0, 4.0], "epochs": [3, 8]}).grid().size() == 4


def test_networks_that_are_searched_have_their_own_options_unless_some_are_given():
    models = {"model": ["cifar_resnet18", "cifar_resnet34", "mlp"]}
    own, given = read_space(Settings(), models), read_space(small(), {"model": ["cifar_resnet34"]})
    assert [own.settings({"model": name}).model_options for name in models["model"]] == [
        {"width": 16},
        {},
        {},
    ]
    assert given.settings({"model": "cifar_resnet34"}).model_options == {"width": 4}
    wide = own.settings({"model": "cifar_resnet34", "model_options.width": 8})
    assert wide.model_options == {"width": 8}


def test_a_setting_that_is_none_now_can_be_searched():
    space = read_space(Settings(), {"gradient_clip_val": [0.5, 1.0], "recipe.scale_by_t2": [True, False]})
    values = {"gradient_clip_val": 0.5, "recipe.scale_by_t2": True}
    settings = space.settings(values, seed=4)
    assert (settings.gradient_clip_val, settings.seed) == (0.5, 4)
    assert settings.recipe.keywords["scale_by_t2"] is True


def test_a_recipe_without_arguments_in_its_configuration_can_be_given_some():
    space = read_space(small(recipe=functools.partial(methods.dml)), {"recipe.students": [2, 4]})
    assert space.settings({"recipe.students": 4}).recipe.keywords["students"] == 4


EXAMPLES = Path(__file__).parents[3] / "examples"


def test_the_examples_search_settings_of_their_networks():
    network = Settings.from_config(yaml.safe_load((EXAMPLES / "intra.yaml").read_text()))
    weights, grid = (
        yaml.safe_load((EXAMPLES / f"tuning/intra_{name}.yaml").read_text()) for name in ("weights", "grid")
    )
    assert list(read_space(network, weights["search"]).axes) == [
        "recipe.mid",
        "recipe.pull_push",
        "recipe.kernel",
    ]
    assert (grid["sampler"], read_space(network, grid["search"]).grid().size()) == ("grid", 9)
