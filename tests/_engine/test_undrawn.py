"""What a pass that draws nothing has in the place of random numbers."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from studygroup._engine.undrawn import undrawn

X = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
INSTEAD = {
    "dropout": (lambda: F.dropout(X, 0.5), 2 * X),  # all is kept, and scaled as what is kept
    "attention": (
        lambda: F.scaled_dot_product_attention(X[None], X[None], X[None], dropout_p=0.9),
        10 * F.scaled_dot_product_attention(X[None], X[None], X[None]),
    ),
    "bernoulli": (lambda: torch.bernoulli(torch.full((3,), 0.1)), [1, 1, 1]),
    "bernoulli in place": (lambda: torch.zeros(2).bernoulli_(0.1), [1, 1]),
    "permutation": (lambda: torch.randperm(4), [3, 2, 1, 0]),
    "whole numbers": (lambda: torch.randint(5, (2,)), [0, 0]),
    "whole numbers from": (lambda: torch.randint(3, 5, (2,)), [3, 3]),
    "whole numbers like": (lambda: torch.randint_like(X, 2, 9), [[2, 2], [2, 2]]),
    "whole numbers in place": (lambda: torch.zeros(2).random_(4, 9), [4, 4]),
    "uniform": (lambda: torch.rand(2), [0.5, 0.5]),
    "uniform like": (lambda: torch.rand_like(X), [[0.5, 0.5], [0.5, 0.5]]),
    "uniform in place": (lambda: torch.zeros(2).uniform_(), [0.5, 0.5]),
    "uniform between": (lambda: torch.zeros(2).uniform_(2, 6), [4, 4]),
    "normal": (lambda: torch.randn(2), [0.5, 0.5]),
    "normal like": (lambda: torch.randn_like(X), [[0.5, 0.5], [0.5, 0.5]]),
    "normal in place": (lambda: torch.zeros(2).normal_(), [0.5, 0.5]),
    "normal of": (lambda: torch.zeros(2).normal_(3, 4), [5, 5]),
    "normal of each": (lambda: torch.normal(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0])), [2, 4]),
    "exponential": (lambda: torch.zeros(2).exponential_(), [0.5, 0.5]),
    "cauchy": (lambda: torch.zeros(2).cauchy_(), [0.5, 0.5]),
    "log-normal": (lambda: torch.zeros(2).log_normal_(), [0.5, 0.5]),
    "geometric": (lambda: torch.zeros(2).geometric_(0.2), [1, 1]),
    "the likeliest": (lambda: torch.multinomial(torch.tensor([0.1, 0.6, 0.3]), 1), [1]),
    "all by likelihood": (lambda: torch.multinomial(torch.tensor([0.1, 0.6, 0.3]), 3), [1, 2, 0]),
    "more than there are": (
        lambda: torch.multinomial(torch.tensor([0.1, 0.6, 0.3]), 4, replacement=True),
        [1, 1, 1, 1],
    ),
    "nothing is drawn": (lambda: X.sin(), X.sin()),
}


@pytest.mark.parametrize("name", INSTEAD)
def test_every_number_that_would_be_drawn_is_a_constant(name):
    operation, expected = INSTEAD[name]
    with undrawn():
        found = operation()
    torch.testing.assert_close(found, torch.as_tensor(expected).to(found))


def test_what_is_drawn_keeps_its_kind():
    with undrawn():
        assert torch.rand(2, dtype=torch.float64).dtype == torch.float64
        assert torch.randint(5, (2,), dtype=torch.int32).dtype == torch.int32
        assert torch.randn_like(X, dtype=torch.float64).dtype == torch.float64


def test_what_python_and_numpy_draw_and_unknown_distributions_follow_the_seed():
    def drawn(seed: int) -> tuple[float, float, float]:
        with undrawn(seed):
            unknown = torch.distributions.Gamma(torch.tensor(2.0), torch.tensor(1.0)).sample()
            return random.random(), np.random.rand(), float(unknown)  # noqa: NPY002

    assert drawn(3)[:2] == (random.Random(3).random(), np.random.RandomState(3).rand())
    assert drawn(3) == drawn(3)
    assert all(a != b for a, b in zip(drawn(3), drawn(4), strict=True))


def test_the_states_of_python_and_numpy_are_put_back_also_after_an_error():
    def draw() -> None:
        with undrawn(3):
            numpy.rand(), random.random()
            raise KeyError

    numpy = np.random.mtrand._rand  # the generator behind NumPy's functions
    before = random.getstate(), numpy.get_state()[1].tolist()
    with pytest.raises(KeyError):
        draw()
    assert (random.getstate(), numpy.get_state()[1].tolist()) == before
