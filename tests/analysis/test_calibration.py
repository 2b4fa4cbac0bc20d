import math

import pytest
import torch
from torch import nn

from helpers.tiny import answers, batches, net
from studygroup.analysis import analyses
from studygroup.analysis.calibration import bin_sums, calibrated, calibration, mean_log_probabilities


def loop(p, labels, bins):
    """Guo et al. 2017, equations 3 and 5, with B_m the rows of confidence in ((m − 1)/M, m/M]."""
    rows, ece, mce = len(p), 0.0, 0.0
    for m in range(1, bins + 1):
        inside = [n for n in range(rows) if (m - 1) / bins < max(p[n]) <= m / bins]
        if inside:
            hits = sum(max(range(len(p[n])), key=p[n].__getitem__) == labels[n] for n in inside)
            gap = abs(hits / len(inside) - sum(max(p[n]) for n in inside) / len(inside))
            ece, mce = ece + len(inside) / rows * gap, max(mce, gap)
    nll = -sum(math.log(p[n][labels[n]]) for n in range(rows)) / rows
    squares = [sum((q - (c == labels[n])) ** 2 for c, q in enumerate(p[n])) for n in range(rows)]
    return ece, mce, nll, sum(squares) / rows


def averaged(networks, rows):
    mean = None
    for network in networks:
        logits, labels = answers(network, rows)
        p = [[math.exp(z) / sum(map(math.exp, row)) for z in row] for row in logits]
        mean = (
            p
            if mean is None
            else [[a + b for a, b in zip(*r, strict=True)] for r in zip(mean, p, strict=True)]
        )
    return [[q / len(networks) for q in row] for row in mean], labels


@pytest.mark.parametrize("bins", [1, 4, 15])
@pytest.mark.parametrize("members", [1, 3])
def test_it_is_that_of_a_loop(members, bins):
    networks, rows = [net(seed) for seed in range(members)], batches(9, 8, 7)
    found = calibration(networks, rows, bins=bins)
    expected = loop(*averaged(networks, rows), bins)
    assert (found.ece, found.mce, found.nll, found.brier) == pytest.approx(expected, abs=1e-12)
    assert sum(bin.count for bin in found.bins) == 24
    assert found.accuracy == pytest.approx(sum(b.count * (b.accuracy or 0) for b in found.bins) / 24)
    assert found.confidence == pytest.approx(sum(b.count * (b.confidence or 0) for b in found.bins) / 24)


def test_it_is_torchmetrics():
    classification = pytest.importorskip("torchmetrics.functional.classification")
    draw = torch.Generator().manual_seed(0)
    logits, labels = 3 * torch.randn(500, 6, generator=draw), torch.randint(6, (500,), generator=draw)
    found = calibrated(bin_sums(logits.log_softmax(-1), labels, bins=15))
    for norm, value in (("l1", found.ece), ("max", found.mce)):
        theirs = classification.multiclass_calibration_error(
            logits, labels, num_classes=6, n_bins=15, norm=norm
        )
        assert value == pytest.approx(theirs.item(), abs=1e-6)


def test_bins_hold_what_lies_in_them_the_upper_end_included():
    p = torch.tensor([[0.5, 0.5], [0.75, 0.25], [0.76, 0.24], [0.0, 1.0]], dtype=torch.float64)
    found = calibrated(bin_sums(p.log(), torch.tensor([0, 1, 0, 1]), bins=4))
    assert [bin.count for bin in found.bins] == [0, 1, 1, 2]
    assert [bin.accuracy for bin in found.bins] == [None, 1.0, 0.0, 1.0]
    assert [bin.confidence for bin in found.bins] == [None, 0.5, 0.75, pytest.approx(0.88)]
    assert (found.bins[1].above, found.bins[1].to) == (0.25, 0.5)
    assert found.mce == pytest.approx(0.75)
    assert found.ece == pytest.approx((0.5 + 0.75 + 0.24) / 4)


def test_probabilities_too_small_for_the_precision_have_a_loss():
    logits = torch.tensor([[[0.0, 300.0]], [[0.0, 200.0]]])
    log_p = mean_log_probabilities(logits)
    assert log_p[0, 0].item() == pytest.approx(-200 - math.log(2), rel=1e-6)


def test_both_sides_of_a_run(three):
    found = analyses["calibration"](three.folder)
    assert found["shipped"]["accuracy"] == pytest.approx(three.summary.shipped.test)
    assert found["ensemble"]["accuracy"] == pytest.approx(three.summary.test.ensemble)
    assert len(found["shipped"]["bins"]) == 15
    table = analyses["calibration"].table(found)
    assert {len(row) for row in table} == {4}
    assert sum(int(row[3]) for row in table[8:]) == 60


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="bins is 0; give at least 1"):
        calibration([net(0)], batches(2), bins=0)
    broken = net(0)
    nn.init.constant_(broken[3].bias, math.nan)
    with pytest.raises(ValueError, match="2 for network 0"):
        calibration([broken], batches(2))
