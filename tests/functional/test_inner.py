"""Against plain loops in float64, written from the intra-model paper's equation 9."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from helpers.intra_loops import pull_push_of
from helpers.similarity_loops import D, N, drawn, flat, similarity_by_loop, vectors_by_loop
from studygroup import functional as sgf


def frobenius(first, second):
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(flat(first), flat(second), strict=True)))


@pytest.mark.parametrize("centre", ["channels", "batch"])
@pytest.mark.parametrize("statistic", ["deviation", "flatten"])
def test_pull_push(centre, statistic):
    h, x = drawn(N, D, 3, 2).requires_grad_(), drawn(N, 3, 4, 4, seed=1)
    y = torch.tensor([0, 2, 2, 1, 0])
    options = {"classes": 3, "pull": 0.7, "push": 0.2, "centre": centre, "statistic": statistic}
    own = similarity_by_loop(vectors_by_loop(h.tolist()), centre)
    labels = similarity_by_loop([[float(c == k) for c in range(3)] for k in y.tolist()], centre)
    pictures = similarity_by_loop(vectors_by_loop(x.tolist(), statistic), centre)
    expected = 0.7 * frobenius(own, labels) - 0.2 * frobenius(own, pictures)
    assert pull_push_of(h, x, y, **options).item() == pytest.approx(expected, abs=1e-12)
    assert gradcheck(lambda h: pull_push_of(h, x, y, **options), h)


def test_at_its_target_the_pull_has_no_gradient():
    own = drawn(N, N).requires_grad_()
    loss = sgf.pull_push(own, own.detach().clone(), own.detach() - 1, pull=1.0, push=1.0)
    loss.backward()
    assert loss.item() == pytest.approx(-N)
    assert own.grad.flatten().tolist() == pytest.approx([-1 / N] * N**2)


@pytest.mark.parametrize("wrong", ["target", "source"])
def test_similarities_of_other_rows_are_refused_by_name(wrong, unchecked):
    given = {"target": drawn(N, N), "source": drawn(N, N)} | {wrong: drawn(1, N)}
    with pytest.raises(ValueError, match=rf"{wrong} of shape \(1, {N}\) for a similarity of \({N}, {N}\)"):
        sgf.pull_push(drawn(N, N), **given, pull=1.0, push=1.0)


def test_linear_over_depth():
    assert sgf.linear_over_depth(5, 0.0, 1.0) == pytest.approx((0, 0.25, 0.5, 0.75, 1))
    assert sgf.linear_over_depth(3, 1.0, 0.0) == pytest.approx((1, 0.5, 0))
    assert sgf.linear_over_depth(17, 0.3, 0.1)[-1] == 0.1
    assert sgf.linear_over_depth(1, 0.0, 1.0) == (1.0,)
    with pytest.raises(ValueError, match="layers is 0; give a whole number, at least 1"):
        sgf.linear_over_depth(0, 0.0, 1.0)
