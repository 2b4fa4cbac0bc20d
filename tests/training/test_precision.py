"""Runs whose weights are in half or double precision, from training to the shipped network."""

import functools

import pytest
import torch
from safetensors.torch import load_file

import studygroup as sg
from helpers.made_up import picture
from helpers.small_run import small, whole_and_resumed
from studygroup.data import Normalise
from studygroup.training import Settings, methods, train
from studygroup.training.scores import accuracy

HALF, DOUBLE = torch.bfloat16, torch.float64
RECIPES = sorted(set(sg.recipes.__all__) - {"distillation"})  # which needs a trained network


def few(name, **changes):
    """One epoch of few steps."""
    recipe = getattr(methods, name)
    if name == "tree":
        recipe = functools.partial(recipe, table={"layer4": (0, 1), "fc": (0, 1)})
    if name == "intra":
        recipe = functools.partial(recipe, mid=1.0, kernel=0.01)
    sizes = {"train_rows": 60, "holdout": 20, "test_rows": 20, "epochs": 1}
    return small(recipe=recipe, **(sizes | changes))


@pytest.fixture(scope="module", params=[("bf16-true", HALF), ("64-true", DOUBLE)], ids=lambda p: p[0])
def finished(request, tmp_path_factory):
    """A run with its baseline."""
    precision, kind = request.param
    folder = tmp_path_factory.mktemp(precision) / "run"
    return train(small(precision=precision, baseline=True), run_dir=folder, progress_bar=False), kind


@pytest.mark.slow
def test_what_ships_has_the_precision_of_the_run(finished):
    result, kind = finished
    for folder in (result.folder, result.folder.baseline):
        weights = load_file(folder.weights)
        assert {value.dtype for value in weights.values() if value.is_floating_point()} == {kind}
    assert {p.dtype for p in result.load().parameters()} == {kind}


@pytest.mark.slow
def test_the_shipped_file_scores_what_the_summary_says(finished):
    result, _ = finished
    settings = Settings.from_config(result.folder.read_config())
    data = settings.load_data()
    scored = settings.build_datamodule(data).evaluation_batches(data.test, torch.device("cpu"))
    assert accuracy(result.load(), scored) == result.summary.shipped.test


@pytest.mark.slow
def test_double_precision_differs_from_single_by_rounding_alone():
    losses = {}
    for precision in ("32-true", "64-true"):
        settings = few("dml", precision=precision, model="cifar_resnet18")
        data = settings.load_data()
        task, feed = settings.build_task(data), settings.build_datamodule(data)
        batch = next(iter(feed.training_batches(task, epoch=0)))
        losses[precision] = task(feed.inputs(batch.inputs), batch.labels, progress=1.0).total.item()
    assert losses["64-true"] == pytest.approx(losses["32-true"], rel=1e-5)
    assert losses["64-true"] != losses["32-true"]


STEPS = [
    pytest.param(name, marks=() if name in ("baseline", "cgl", "pcl") else pytest.mark.long)
    for name in RECIPES
]


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_a_step_of_every_recipe_in_half_precision(name):
    settings = few(name, precision="bf16-true")
    data = settings.load_data()
    task, feed = settings.build_task(data), settings.build_datamodule(data)
    whole = few(name).build_task(data)
    batch = next(iter(feed.training_batches(task, epoch=0)))
    owner = batch.owner
    with torch.random.fork_rng():
        totals = []
        for one, inputs in (
            (task, feed.inputs(batch.inputs)),
            (whole, few(name).build_datamodule(data).inputs(batch.inputs)),
        ):
            torch.manual_seed(0)
            totals.append(
                sum(
                    losses.total.item()
                    for losses in one.steps(inputs, batch.labels, owner=owner, progress=1.0)
                )
            )
    assert {p.dtype for p in task.group.parameters()} == {HALF}
    assert totals[0] == pytest.approx(totals[1], rel=0.05)


@pytest.mark.long
@pytest.mark.parametrize("precision", ["bf16-true", "64-true", "bf16-mixed"])
@pytest.mark.parametrize("name", RECIPES)
def test_a_run_of_every_recipe(name, precision, tmp_path):
    result = train(few(name, precision=precision), run_dir=tmp_path / "run", progress_bar=False)
    assert 0 <= result.summary.shipped.test <= 1


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped(tmp_path):
    settings = small(precision="bf16-true", recipe=functools.partial(methods.dml, students=2), epochs=2)
    whole, resumed = whole_and_resumed(settings, tmp_path)
    assert whole.summary.test == resumed.summary.test
    one, other = load_file(whole.folder.weights), load_file(resumed.folder.weights)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("short", "long"), [("32", "32-true"), ("64", "64-true"), ("bf16", "bf16-mixed"), ("16", "16-mixed")]
)
def test_short_names(short, long):
    assert small(precision=short).precision == long


@pytest.mark.slow
@pytest.mark.parametrize("name", ["16-true", "half", "transformer-engine", ""])
def test_others_are_refused_at_once(name):
    with pytest.raises(ValueError, match=rf"precision is '{name}'; give one of 32-true, .* use 16-mixed\)"):
        small(precision=name)


@pytest.mark.slow
def test_pixels_are_normalised_in_single_precision_and_rounded_once():
    images = torch.from_numpy(picture(0, size=(8, 8))).movedim(-1, 0)[None].clone()
    mean, std = (0.49, 0.48, 0.44), (0.2, 0.21, 0.26)
    exact = Normalise(mean, std)(images)
    for kind in (HALF, torch.float16, DOUBLE):
        module = Normalise(mean, std).to(kind)
        assert torch.equal(module(images), exact.to(kind))
        assert torch.equal(module.to("cpu").eval()(images), exact.to(kind))
        assert torch.equal(module.float()(images), exact)
    assert not Normalise(mean, std).state_dict()
