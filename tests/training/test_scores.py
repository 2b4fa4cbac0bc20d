import math
from itertools import combinations

import pytest
import torch

from studygroup.training.scores import Tally


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
    assert (scores.mean, scores.std, scores.best) == (0.5, 0.0, 0)
