import copy
import dataclasses
import shutil

import pytest
import torch

from helpers.small_run import small
from helpers.tiny import batches, net
from studygroup.analysis import analyses
from studygroup.analysis.flatness import Flatness, noisy_accuracy
from studygroup.seeding import generator
from studygroup.training import RunFolder

ROWS = batches(20, 15)


def changed(network, *, draw, sigma, seed, relative):
    """A network whose every parameter, number by number, has got its noise."""
    moved, rng = copy.deepcopy(network), generator(seed, "flatness", draw)
    with torch.no_grad():
        for parameter in moved.parameters():
            noise = torch.randn(parameter.shape, generator=rng).flatten().tolist()
            values = parameter.flatten().tolist()
            mean = sum(values) / len(values)
            deviation = (sum((v - mean) ** 2 for v in values) / len(values)) ** 0.5
            scale = sigma * (deviation if relative else 1.0)
            new = [v + scale * e for v, e in zip(values, noise, strict=True)]
            parameter.copy_(torch.tensor(new, dtype=torch.float64).view_as(parameter))
    return moved.eval()


@pytest.mark.parametrize("relative", [False, True])
def test_noise_is_added_to_every_parameter_and_to_nothing_else(relative):
    network, sigmas = net(0), (0.0, 0.5, 2.0)
    found = noisy_accuracy(network, ROWS, sigmas=sigmas, draws=3, seed=7, relative=relative)
    assert found.shape == (3, 3)
    for row, sigma in enumerate(sigmas):
        for draw in range(3):
            moved = changed(network, draw=draw, sigma=sigma, seed=7, relative=relative)
            hits = sum((moved(x).argmax(-1) == y).sum().item() for x, y in ROWS)
            assert found[row, draw].item() == pytest.approx(hits / 35)
    assert len(found[0].unique()) == 1
    assert len(found[2].unique()) > 1


def test_the_network_is_as_before_bit_for_bit():
    network = net(0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    noisy_accuracy(network, ROWS, sigmas=(0.3,), draws=1, seed=0)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())


def test_relative_noise_does_not_see_the_scale_of_weights_before_a_batch_norm():
    small, large = net(0), net(0)
    with (
        torch.no_grad()
    ):  # the same function: batch normalisation divides by what the weights are multiplied by
        for value in (large[0].weight, large[0].bias, large[1].running_mean):
            value.mul_(1000)
        large[1].running_var.add_(large[1].eps).mul_(1000**2).sub_(large[1].eps)
    options = {"sigmas": (0.5, 1.0), "draws": 8, "seed": 0}
    relative = [noisy_accuracy(n, ROWS, relative=True, **options) for n in (small, large)]
    absolute = [noisy_accuracy(n, ROWS, **options) for n in (small, large)]
    assert torch.allclose(relative[0], relative[1])
    assert not torch.allclose(absolute[0], absolute[1])


def test_a_run(three):
    flatness = dataclasses.replace(analyses["flatness"], sigmas=(0.001, 0.05, 0.5), reference=0.05, draws=2)
    found = flatness(three.folder)
    assert found["clean"] == pytest.approx(three.summary.shipped.test)
    net = three.load()
    each = noisy_accuracy(net, list(rows_of(three)), sigmas=(0.05,), draws=2, seed=0)[0].tolist()
    assert found["accuracy"][1] == pytest.approx(sum(each) / 2)
    assert found["std"][1] == pytest.approx(abs(each[0] - each[1]) / 2**0.5)
    assert found["drop"] == pytest.approx(100 * (found["clean"] - found["accuracy"][1]))
    assert found["accuracy"][0] == pytest.approx(found["clean"], abs=0.04)
    assert found["accuracy"][2] < 0.4  # chance is 0.1
    assert (found["sigmas"], found["draws"]) == ([0.001, 0.05, 0.5], 2)
    assert flatness.table(found)[3][3] == f"{found['drop']:.2f}"
    assert dataclasses.replace(flatness, draws=1)(three.folder)["std"] is None


def rows_of(result):
    made = small()
    data = made.load_data()
    return made.build_datamodule(data).evaluation_batches(data.test, torch.device("cpu"))


def test_no_checkpoint_is_needed(one, tmp_path):
    run = RunFolder(tmp_path / "run")
    shutil.copytree(one.folder.path, run.path, ignore=shutil.ignore_patterns("checkpoints"))
    assert analyses["flatness"](run) == analyses["flatness"](one.folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reference": 0.5}, "reference is 0.5, which is not among sigmas"),
        ({"sigmas": (0.02, 0.01), "reference": 0.01}, "give them growing"),
        ({"draws": 0}, "at least one draw"),
        ({"sigmas": (-1.0, 0.02)}, "sizes of 0 or more"),
    ],
)
def test_settings_that_do_not_fit_are_named(one, changes, said):
    with pytest.raises(ValueError, match=said):
        Flatness(**changes)(one.folder)
