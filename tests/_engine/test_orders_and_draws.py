"""Rows that are sorted, or shuffled by draws of Python and NumPy, are seen however few of them are compared."""

import random

import numpy as np
import pytest
import torch

import studygroup as sg
from helpers.training_way import OWNERS, Net

BY = {
    "sum": lambda h: h.sum(1).argsort(),
    "sum, descending": lambda h: h.sum(1).argsort(descending=True),
    "length": lambda h: h.norm(dim=1).argsort(),
    "difference": lambda h: (h[:, 0] - h[:, 1]).argsort(),
}


class Sorts(Net):
    """Puts rows in the order of a number, and leaves them there."""

    def __init__(self, by, *, always):
        super().__init__()
        self.by, self.always = by, always

    def forward(self, x):
        h = self.body(self.stem(x).relu()).relu()
        return self.fc(h[self.by(h)] if self.training or self.always else h)


def seeded(build, seed: int, layers=("body", "fc")) -> sg.StudyGroup:
    torch.manual_seed(seed)
    routes = sg.routes.branches(list(layers), students=3)
    return sg.StudyGroup(build(), routes, init=build, share_head=True).train()


@pytest.mark.parametrize("always", [True, False])
@pytest.mark.parametrize("by", BY)
def test_sorted_rows_are_refused_whatever_the_order_of_those_compared(by, always):
    def build():
        return Sorts(BY[by], always=always)

    x = torch.randn(7, 6)
    for seed, sees in ((0, None), (1, OWNERS), (2, None), (3, OWNERS)):
        with pytest.raises(ValueError, match=r"after layer 'body', at or before layer 'fc'"):
            seeded(build, seed)(x, sees=sees)
    made = seeded(build, 0, ("",))  # each student sorts its own rows
    network = made.export(1)
    torch.testing.assert_close(made(x, sees=OWNERS).logits[1][OWNERS[1]], network(x[OWNERS[1]]))


class Draws(Net):
    """Draws with Python or NumPy, by their own functions or by a generator that it holds."""

    def __init__(self):
        super().__init__()
        self.python, self.numpy = random.Random(0), np.random.default_rng(0)
        self.old = np.random.RandomState(0)


class PythonShuffles(Draws):
    def way(self, h, x):
        order = list(range(len(h)))
        random.shuffle(order)
        return 0.7 * h + 0.3 * h[order]


class NumpyShuffles(Draws):
    def way(self, h, x):
        return 0.7 * h + 0.3 * h[torch.from_numpy(np.random.permutation(len(h)))]  # noqa: NPY002


class HeldShuffles(Draws):
    def way(self, h, x):
        return 0.7 * h + 0.3 * h[torch.from_numpy(self.numpy.permutation(len(h)))]


class HeldPythonShuffles(Draws):
    def way(self, h, x):
        return 0.7 * h + 0.3 * h[self.python.sample(range(len(h)), len(h))]


class Noise(Draws):
    """Noise of each row, and a layer that is left out at random."""

    def way(self, h, x):
        drawn = self.numpy.normal(size=(len(h), 1)) + self.old.normal(size=(len(h), 1))
        h = h + torch.from_numpy(drawn).float() + self.python.random()
        return h * 2 if random.random() < 0.5 else h


class NewNoise(Draws):
    """Draws that follow no seed."""

    def way(self, h, x):
        return h + torch.from_numpy(np.random.default_rng().normal(size=(len(h), 1))).float()


class StatisticsAndNoise(Draws):
    """Statistics over the batch are the same in any order."""

    def way(self, h, x):
        return (h - h.mean(0)) * (1 + random.random())


@pytest.mark.parametrize("build", [PythonShuffles, NumpyShuffles, HeldShuffles, HeldPythonShuffles])
def test_rows_shuffled_by_draws_that_are_not_torchs_are_refused(build):
    for seed, sees in ((0, None), (1, OWNERS), (2, None), (3, OWNERS)):
        with pytest.raises(ValueError, match=r"after layer 'body', at or before layer 'fc' in training"):
            seeded(build, seed)(torch.randn(7, 6), sees=sees)
    seeded(build, 0, ("",))(torch.randn(7, 6))  # each student shuffles its own rows


@pytest.mark.slow
@pytest.mark.parametrize("sees", [None, OWNERS], ids=["all", "owners"])
@pytest.mark.parametrize("build", [Noise, NewNoise, StatisticsAndNoise])
def test_draws_of_each_row_raise_no_alarm(build, sees):
    for seed in range(3):
        seeded(build, seed)(torch.randn(7, 6), sees=sees)


def test_generators_that_modules_hold_stand_where_they_stood():
    x, made = torch.randn(7, 6), seeded(Noise, 0)
    before = made.model.python.getstate(), made.model.numpy.bit_generator.state
    made.eval()(x)  # compared; draws nothing itself
    assert made.model.python.getstate() == before[0]
    assert made.model.numpy.bit_generator.state == before[1]
    assert made.model.old.randint(1000) == np.random.RandomState(0).randint(1000)
