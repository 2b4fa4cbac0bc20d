import math
from itertools import combinations

import pytest
import torch

from studygroup.training.scores import Tally, score_net


def test_tally_is_what_loops_count():
    torch.manual_seed(0)
    logits, labels = torch.randn(3, 10, 4, dtype=torch.float64), torch.randint(4, (10,))
    tally = Tally(3, torch.device("cpu"))
    for rows in (slice(0, 7), slice(7, 10)):
        tally.add(logits[:, rows], labels[rows])
    scores = tally.read()
    p = logits.float().softmax(-1).tolist()
    answers = logits.argmax(-1).tolist()
    assert scores.rows == 10
    for k in range(3):
        assert scores.students[k] == pytest.approx(sum(answers[k][n] == labels[n] for n in range(10)) / 10)
    mean = [[sum(p[k][n][c] for k in range(3)) / 3 for c in range(4)] for n in range(10)]
    right = sum(max(range(4), key=mean[n].__getitem__) == labels[n] for n in range(10))
    assert scores.ensemble == pytest.approx(right / 10)
    pairs = [(a, b, n) for a, b in combinations(range(3), 2) for n in range(10)]
    apart = sum(math.dist(p[a][n], p[b][n]) for a, b, n in pairs) / len(pairs)
    assert scores.diversity == pytest.approx(apart, rel=1e-5)
    assert scores.disagreement == pytest.approx(
        sum(answers[a][n] != answers[b][n] for a, b, n in pairs) / len(pairs)
    )


def test_top5_is_what_sorting_finds():
    torch.manual_seed(1)
    logits, labels = torch.randn(3, 40, 9), torch.randint(9, (40,))
    tally = Tally(3, torch.device("cpu"))
    for rows in (slice(0, 25), slice(25, 40)):
        tally.add(logits[:, rows], labels[rows])
    scores = tally.read()

    def share(each):
        among = [labels[n] in sorted(range(9), key=each[n].__getitem__)[-5:] for n in range(40)]
        return sum(among) / 40

    assert list(scores.students_top5) == pytest.approx([share(logits[k].tolist()) for k in range(3)])
    assert scores.mean_top5 == pytest.approx(sum(scores.students_top5) / 3)
    assert scores.ensemble_top5 == pytest.approx(share(logits.softmax(-1).mean(0).tolist()))
    assert scores.ensemble < scores.ensemble_top5 < 1


def test_of_five_classes_all_are_among_the_likeliest_five():
    tally = Tally(2, torch.device("cpu"))
    tally.add(torch.randn(2, 6, 5), torch.arange(6) % 5)
    assert tally.read().students_top5 == (1.0, 1.0)


def test_answers_that_are_no_numbers_are_wrong():
    """The largest of numbers and a NaN is the NaN, whatever the label."""
    tally, logits = Tally(1, torch.device("cpu")), torch.zeros(1, 8, 40)
    logits[0, :, 0] = float("nan")
    tally.add(logits, torch.zeros(8, dtype=torch.long))
    scores = tally.read()
    assert (scores.students, scores.students_top5, scores.ensemble, scores.ensemble_top5) == (
        (0,),
        (0,),
        0,
        0,
    )


def test_a_tally_asks_the_device_once(monkeypatch):
    tally = Tally(2, torch.device("cpu"))
    for name in ("item", "tolist", "numpy", "__bool__", "__int__", "__float__"):
        monkeypatch.setattr(torch.Tensor, name, lambda *_, **__: pytest.fail("the host waits for the device"))
    tally.add(torch.randn(2, 6, 8), torch.arange(6))
    monkeypatch.undo()
    assert tally.read().rows == 6


def test_a_plain_network_scores_as_a_group_of_one():
    torch.manual_seed(2)
    net = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(4, 9)).train()
    x, y = torch.randn(30, 4), torch.randint(9, (30,))
    scores = score_net(net, [(x[:20], y[:20]), (x[20:], y[20:])])
    right = (net[1](x).argmax(1) == y).float().mean().item()
    assert scores.students == pytest.approx((right,))
    assert scores.students_top5[0] > right
    assert (scores.rows, net.training) == (30, True)


def test_one_student_differs_from_nobody():
    tally = Tally(1, torch.device("cpu"))
    tally.add(torch.eye(2)[None], torch.tensor([0, 0]))
    scores = tally.read()
    assert (scores.students, scores.ensemble, scores.diversity, scores.disagreement) == (
        (0.5,),
        0.5,
        0.0,
        0.0,
    )
    assert (scores.mean, scores.std) == (0.5, 0.0)
