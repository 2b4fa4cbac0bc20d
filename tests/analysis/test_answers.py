import math

import pytest
import torch
from torch import nn

from helpers.tiny import answers, batches, net
from studygroup.analysis.answers import fit_of, right, summed


def test_loss_and_right_answers_are_those_of_a_loop():
    network, rows = net(0), batches(4, 3, 1)
    total = fit_of(network, rows).finite()
    loss = hits = 0.0
    for logits, label in zip(*answers(network, rows), strict=True):
        loss += math.log(sum(math.exp(z) for z in logits)) - logits[label]
        hits += max(range(3), key=logits.__getitem__) == label
    assert total.rows == 8
    assert total.values.tolist() == pytest.approx([loss, hits], abs=1e-12)
    assert total.mean.tolist() == pytest.approx([loss / 8, hits / 8])


def test_networks_are_left_as_they_were():
    networks, rows = [net(0), net(1)], batches(4, 3)
    networks[0].train()
    networks[1].eval()
    before = [value.clone() for n in networks for value in n.state_dict().values()]
    state = torch.get_rng_state()
    summed(networks, rows, lambda logits, labels: logits.sum())
    after = [value for n in networks for value in n.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert [n.training for n in networks] == [True, False]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()


def test_half_precision_is_added_up_in_single():
    class Half(nn.Linear):
        def forward(self, x):
            return super().forward(x).bfloat16()

    seen = []

    def figures(logits, labels):
        seen.append(logits.dtype)
        return logits.sum()

    total = summed([Half(4, 3)], [(torch.ones(2, 4), torch.zeros(2, dtype=torch.int64))], figures)
    assert seen == [torch.float32]
    assert total.values.dtype == torch.float64


def test_what_is_no_number_is_named():
    networks, rows = [net(0), net(1), net(2)], batches(4, 3)
    rows[1][0][2] = torch.nan
    with torch.no_grad():
        networks[2][3].bias[0] = torch.inf
    with pytest.raises(
        ValueError, match=r"some of the 7 rows \(1 for network 0, 1 for network 1, 7 for network 2"
    ):
        summed(networks, rows, lambda logits, labels: logits.sum()).finite()


def test_a_row_that_is_no_number_is_wrong():
    scores = torch.tensor([[torch.nan, 1.0], [1.0, 0.0], [torch.inf, 0.0]])
    assert right(scores, torch.tensor([0, 0, 0])).tolist() == [False, True, True]


def test_nothing_to_ask_and_nobody_to_ask():
    used = iter(batches(2))
    fit_of(net(0), used)
    with pytest.raises(ValueError, match="no rows to ask for; give batches that are not empty, as a list"):
        fit_of(net(0), used)
    with pytest.raises(ValueError, match="no network to ask"):
        summed([], batches(2), lambda logits, labels: logits.sum())
