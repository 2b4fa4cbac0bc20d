"""What a network may return, and what is said of anything else."""

from typing import NamedTuple

import pytest
import torch
from torch import nn

from studygroup._engine.forward import call, holds_compiled_code
from studygroup._engine.routed import ForwardState, OneRowError, current_state
from studygroup._engine.rows import BatchLayout

X = torch.randn(3, 2)


class Two(NamedTuple):
    logits: torch.Tensor
    aux_logits: torch.Tensor | None


class Output:
    def __init__(self, logits):
        self.logits = logits


class Returns(nn.Module):
    def __init__(self, of):
        super().__init__()
        self.of = of

    def forward(self, x):
        assert current_state() is not None
        return self.of(x)


def state(rows: int = 3) -> ForwardState:
    return ForwardState(BatchLayout(torch.ones(2, rows, dtype=torch.bool)), rescale_gradients=False)


@pytest.mark.parametrize("of", [lambda x: x, Output, lambda x: Two(x, None)])
def test_logits_are_the_tensor_or_stand_beside_nothing_else(of):
    assert call(Returns(of), X, state()) is X
    assert current_state() is None


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (
            lambda x: Two(x, x),
            r"the model returned 'aux_logits' beside its logits \(Two\), from which nothing would be learnt; build "
            r"it without auxiliary heads \(aux_logits=False\), or use recipes\.auxiliary_training$",
        ),
        (
            lambda x: [x],
            r"the model returned list for 3 rows; it must return logits of shape \(rows, classes\), or an output "
            r"that has such \.logits$",
        ),
        (lambda x: x[:2], r"the model returned \(2, 2\) for 3 rows"),
        (lambda x: x[:, 0], r"the model returned \(3,\) for 3 rows"),
        (lambda x: Output("words"), "the model returned Output for 3 rows"),
    ],
)
def test_anything_else_is_named(of, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        call(Returns(of), X, state())
    assert current_state() is None


def test_rows_that_do_not_fit_after_a_layer_are_a_residual_around_it():
    def parts(x):
        own = current_state()
        own.reached["deep.layer"] = None
        own.counts.append(6)
        return x + torch.zeros(6, 2)

    with pytest.raises(
        ValueError,
        match=r"^rows do not fit after 'deep\.layer': The size of tensor .*\. Students part inside a residual "
        "connection, or after a tensor that is used again; name the enclosing block instead$",
    ) as raised:
        call(Returns(parts), X, state())
    assert isinstance(raised.value.__cause__, RuntimeError)


@pytest.mark.parametrize(
    "of", [lambda x: x + torch.zeros(4, 2), lambda x: x.view(5, 5), lambda x: x @ torch.zeros(3, 3)]
)
def test_other_errors_of_sizes_pass(of):
    with pytest.raises(RuntimeError) as raised:
        call(Returns(of), X, state())
    assert not isinstance(raised.value, ValueError)


def test_one_row_that_enters_is_named():
    with pytest.raises(OneRowError, match=r"^students \[0, 1\] have 1 row in this step"):
        call(nn.Sequential(nn.BatchNorm1d(2)), X[:1], state(1))
    alone = ForwardState(BatchLayout(torch.tensor([[True], [False]])), rescale_gradients=False)
    with pytest.raises(
        OneRowError, match=r"^student 0 has 1 row in this step, and a normalisation over the batch"
    ):
        call(nn.Sequential(nn.BatchNorm1d(2)), X[:1], alone)


def test_a_mapping_is_given_by_keyword():
    class Named(nn.Module):
        def forward(self, *, x, scale):
            return x * scale

    assert torch.equal(call(Named(), {"x": X, "scale": 2.0}, state()), 2 * X)


def test_a_plain_network_holds_no_compiled_code():
    assert not holds_compiled_code(nn.Linear(2, 2))
