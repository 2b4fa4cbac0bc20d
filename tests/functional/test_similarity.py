"""Against plain loops in float64, written from the intra-model paper's equation 8."""

import pytest
import torch
from torch.autograd import gradcheck

from helpers.similarity_loops import D, N, drawn, flat, similarity_by_loop, vectors_by_loop
from studygroup import functional as sgf

SHAPES = [(N, D, 3, 2), (N, D, 6), (N, D), (N, D, 1, 1), (N, D, 2, 1, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("centre", ["channels", "batch"])
@pytest.mark.parametrize("statistic", ["deviation", "flatten"])
def test_similarity_matrix(shape, centre, statistic):
    h = drawn(*shape).requires_grad_()
    found = sgf.similarity_matrix(h, centre=centre, statistic=statistic)
    expected = similarity_by_loop(vectors_by_loop(h.tolist(), statistic), centre)
    assert flat(found.tolist()) == pytest.approx(flat(expected), abs=1e-12)
    assert gradcheck(lambda h: sgf.similarity_matrix(h, centre=centre, statistic=statistic), h)


@pytest.mark.parametrize("shape", SHAPES)
def test_deviations_are_all_that_similarities_are_made_of(shape):
    h = drawn(*shape).requires_grad_()
    z = sgf.deviations(h)
    assert flat(z.tolist()) == pytest.approx(flat(vectors_by_loop(h.tolist())), abs=1e-12)
    assert torch.equal(sgf.similarity_matrix(z), sgf.similarity_matrix(h))
    assert gradcheck(sgf.deviations, h)


def test_defaults_are_centred_over_channels_and_deviations():
    h = drawn(N, D, 3, 2)
    named = sgf.similarity_matrix(h, centre="channels", statistic="deviation")
    assert torch.equal(sgf.similarity_matrix(h), named)


def test_memory_formats_and_precisions_agree():
    h = drawn(N, D, 3, 2)
    exact = sgf.similarity_matrix(h)
    torch.testing.assert_close(sgf.similarity_matrix(h.to(memory_format=torch.channels_last)), exact)
    single = sgf.similarity_matrix(h.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, atol=1e-6, rtol=0)
    half = h.bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = sgf.similarity_matrix(half)
        loss = sgf.pull_push(found, torch.eye(N), found.detach() * 0, pull=1.0, push=0.5)
    assert found.dtype == loss.dtype == torch.float32
    torch.testing.assert_close(
        found.double(), sgf.similarity_matrix(half.detach().double()), atol=1e-6, rtol=0
    )
    loss.backward()
    assert half.grad.dtype == torch.bfloat16
    assert half.grad.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e3])
def test_what_does_not_vary_gets_no_gradient_and_no_nan(dtype, value):
    h = drawn(N, D, 4, 4).to(dtype)
    h[0, 1] = value  # a constant map
    h[1] = h[1, :1]  # equal channels: the centred vector is zero but for rounding
    h[2] = value  # both
    h.requires_grad_()
    found = sgf.similarity_matrix(h)
    torch.linalg.vector_norm(found - torch.eye(N, dtype=dtype)).backward()
    assert not found[[1, 2]].any()
    assert not found[:, [1, 2]].any()
    assert found[3, 3].item() == pytest.approx(1)
    assert not h.grad[0, 1].any()
    assert not h.grad[[1, 2]].any()
    assert torch.isfinite(h.grad).all()
    assert all(h.grad[i].abs().max() > 1e-4 for i in (0, 3, 4))


@pytest.mark.parametrize("statistic", ["deviation", "flatten"])
def test_a_cosine_has_no_scale(statistic):
    """Neither of all rows nor of each: only a row's own rounding tells whether it varies."""
    h = drawn(N, D, 3, 2)
    exact = sgf.similarity_matrix(h, statistic=statistic)
    each = 10.0 ** torch.tensor([-9, 9, 0, -5, 5], dtype=torch.float64).view(-1, 1, 1, 1)
    for scaled in (1e-9 * h, 1e9 * h, each * h):
        torch.testing.assert_close(sgf.similarity_matrix(scaled, statistic=statistic), exact)


def test_one_row_and_equal_rows_centred_over_the_batch():
    h = drawn(1, D, 3, 3).expand(3, -1, -1, -1).clone().requires_grad_()
    for rows in (h[:1], h):
        found = sgf.similarity_matrix(rows, centre="batch")
        assert not found.any()
        assert not torch.autograd.grad(found.sum(), h)[0].any()


def test_too_few_values_and_unknown_words(unchecked):
    with pytest.raises(ValueError, match=r"each row has 1 value to compare.*statistic='flatten'"):
        sgf.similarity_matrix(drawn(N, 1, 3, 3))
    with pytest.raises(ValueError, match="classes is 1; give a whole number, at least 2"):
        sgf.label_similarity(torch.zeros(N, dtype=torch.long), classes=1)
    assert sgf.similarity_matrix(drawn(N, 1, 3, 3), statistic="flatten").shape == (N, N)
    assert sgf.similarity_matrix(drawn(N, 1, 3, 3), centre="batch").shape == (N, N)
    with pytest.raises(ValueError, match="centre='rows'; use 'channels' or 'batch'"):
        sgf.similarity_matrix(drawn(N, D), centre="rows")
    with pytest.raises(ValueError, match="statistic='mean'; use 'deviation' or 'flatten'"):
        sgf.similarity_matrix(drawn(N, D), statistic="mean")


@pytest.mark.parametrize("centre", ["channels", "batch"])
def test_label_similarity(centre):
    y = torch.tensor([0, 3, 3, 1, 0])
    one_hot = [[float(c == label) for c in range(6)] for label in y.tolist()]
    found = sgf.label_similarity(y, classes=6, centre=centre, dtype=torch.float64)
    assert flat(found.tolist()) == pytest.approx(flat(similarity_by_loop(one_hot, centre)), abs=1e-12)
    if centre == "channels":
        assert found[0].tolist() == pytest.approx([1, -0.2, -0.2, -0.2, 1])


def test_labels_may_be_probabilities_and_must_be_classes(unchecked):
    soft = torch.softmax(drawn(N, 6), -1)
    found = sgf.label_similarity(soft, classes=6, dtype=torch.float64)
    assert flat(found.tolist()) == pytest.approx(
        flat(similarity_by_loop(soft.tolist(), "channels")), abs=1e-12
    )
    with pytest.raises(ValueError, match="a label is 3; number classes from 0 to 2"):
        sgf.label_similarity(torch.tensor([0, 3, 1]), classes=3)
    for wrong in (soft, torch.zeros(2, 2, dtype=torch.long), torch.tensor([True, False])):
        with pytest.raises(ValueError, match="for 3 classes; hand in one class index a row"):
            sgf.label_similarity(wrong, classes=3)


def test_rows_without_a_label_are_similar_to_none():
    some = torch.tensor([0, 1, -100, 1])
    found = sgf.label_similarity(some, classes=3)
    assert found[2].tolist() == found[:, 2].tolist() == [0, 0, 0, 0]
    there = torch.tensor([0, 1, 3])
    assert torch.equal(found[there][:, there], sgf.label_similarity(some[there], classes=3))


def test_a_second_derivative_of_maps_is_refused():
    h = drawn(N, D, 3, 2).requires_grad_()
    with pytest.raises(RuntimeError, match="similarity_matrix can be differentiated once"):
        sgf.similarity_matrix(h).square().sum().backward(create_graph=True)
