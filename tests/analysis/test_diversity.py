import math

import pytest

from helpers.tiny import answers, batches, net
from studygroup.analysis import analyses
from studygroup.analysis.diversity import pairwise_diversity


def probabilities(logits):
    total = sum(math.exp(z) for z in logits)
    return [math.exp(z) / total for z in logits]


def test_every_pair_is_that_of_a_loop():
    students, rows = [net(seed) for seed in range(3)], batches(4, 3, 1)
    distance, different = pairwise_diversity(students, rows).tolist()
    p = [[probabilities(z) for z in answers(student, rows)[0]] for student in students]
    for a in range(3):
        for b in range(3):
            lengths = [math.dist(p[a][n], p[b][n]) for n in range(8)]
            assert distance[a][b] == pytest.approx(sum(lengths) / 8, abs=1e-12)
            named = [[max(range(3), key=row.__getitem__) for row in p[k]] for k in (a, b)]
            assert different[a][b] == sum(x != y for x, y in zip(*named, strict=True)) / 8
    assert max(map(max, different)) > 0


def test_it_is_the_summarys(three):
    found = analyses["diversity"](three.folder, device="cpu")
    assert found["diversity"] == pytest.approx(three.summary.test.diversity, rel=1e-5)
    assert found["disagreement"] == pytest.approx(three.summary.test.disagreement)
    assert found["rows"] == 60
    table = analyses["diversity"].table(found)
    assert {len(row) for row in table} == {4}
    assert table[1][2] == table[2][1] == f"{found['distances'][0][1]:.3f}"
    assert table[-2][1] == f"{found['diversity']:.3f}"


def test_one_student_has_nobody_to_differ_from(one):
    with pytest.raises(ValueError, match="1 student: there is no pair to compare; give two networks"):
        pairwise_diversity([net(0)], batches(2))
    with pytest.raises(ValueError, match="no pair to compare"):
        analyses["diversity"](one.folder)
