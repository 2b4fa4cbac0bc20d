"""What modules hold besides parameters and buffers is as it was, after passes that leave no trace."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from studygroup._engine.attributes import Attributes


def holding(**values) -> nn.Module:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    for name, value in values.items():
        setattr(net[1], name, value)
    return net


@pytest.mark.parametrize("value", [3, 0.5, "word", None, b"b", True, 1j, (1, "a", None)])
def test_values_that_were_assigned_anew_are_put_back_and_new_ones_go(value):
    net = holding(held=value, often=0)
    kept = Attributes(net)
    for _ in range(2):
        net[1].held, net[1].often, net[1].new, net[0].new = "other", net[1].often + 1, 1, (1, 2)
        kept.put_back()
        assert net[1].held is value
        assert net[1].often == 0
        assert not hasattr(net[0], "new")
        assert not hasattr(net[1], "new")


def test_lists_and_what_holds_objects_stay_as_they_are():
    net = holding(names=["a"], pair=(1, ["a"]), there=1)
    kept = Attributes(net)
    net[1].names, net[1].pair, net[1].later = ["b"], (2, ["b"]), ["c"]
    del net[1].there
    net[1].eval()
    kept.put_back()
    assert (net[1].names, net[1].pair, net[1].later) == (["b"], (2, ["b"]), ["c"])
    assert not net[1].training
    assert not hasattr(net[1], "there")


def test_tensors_that_were_written_to_have_their_numbers_again():
    tensor = torch.arange(3.0)
    net = holding(held=tensor)
    kept = Attributes(net)
    for _ in range(2):
        tensor.add_(1)
        net[1].held = torch.zeros(3)
        kept.put_back()
        assert net[1].held is tensor
        assert tensor.tolist() == [0, 1, 2]
    before = tensor._version
    kept.put_back()
    assert tensor._version == before  # writing again would count as a change of what a graph holds
    with torch.inference_mode():
        still = torch.arange(3.0)
        Attributes(holding(held=still)).put_back()


DRAWS = {
    "torch": (torch.Generator, lambda draw: torch.rand(3, generator=draw).tolist()),
    "python": (random.Random, lambda draw: draw.random()),
    "numpy": (np.random.default_rng, lambda draw: draw.random()),
    "old numpy": (np.random.RandomState, lambda draw: draw.random_sample()),
}


@pytest.mark.parametrize("name", DRAWS)
def test_sources_of_draws_are_put_back_and_seeded(name):
    make, draw = DRAWS[name]
    net = holding(source=make())
    kept = Attributes(net)
    first = draw(net[1].source)
    assert draw(net[1].source) != first
    kept.put_back()
    assert draw(net[1].source) == first
    drawn = []
    for seed in (3, 3, 4):
        kept.seed(seed)
        drawn.append(draw(net[1].source))
    assert drawn[0] == drawn[1] != drawn[2]
    kept.put_back()
    assert draw(net[1].source) == first


def test_what_draws_from_the_system_has_no_state():
    net = holding(source=random.SystemRandom(), bits=np.random.PCG64(0))
    kept = Attributes(net)
    kept.seed(1)
    kept.put_back()
    assert isinstance(net[1].source, random.SystemRandom)
