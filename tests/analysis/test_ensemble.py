import math

import pytest
import torch
from torch import nn

from helpers.tiny import answers, batches, net
from studygroup.analysis import analyses
from studygroup.analysis.ensemble import ensemble_accuracy


def test_it_is_that_of_a_loop():
    students, rows = [net(seed) for seed in (0, 3, 4)], batches(6, 5, 3)
    found = ensemble_accuracy(students, rows)
    each, labels = [answers(student, rows)[0] for student in students], answers(students[0], rows)[1]
    ensemble = some = every = 0
    hits = [0, 0, 0]
    for n, label in enumerate(labels):
        mean, right = [0.0, 0.0, 0.0], []
        for k in range(3):
            total = sum(math.exp(z) for z in each[k][n])
            mean = [m + math.exp(z) / total / 3 for m, z in zip(mean, each[k][n], strict=True)]
            right.append(max(range(3), key=each[k][n].__getitem__) == label)
            hits[k] += right[-1]
        ensemble += max(range(3), key=mean.__getitem__) == label
        some, every = some + any(right), every + all(right)
    assert found.students == pytest.approx([h / 14 for h in hits])
    assert (found.ensemble, found.any, found.all) == pytest.approx((ensemble / 14, some / 14, every / 14))
    assert found.mean == pytest.approx(sum(hits) / 42)
    assert some > every


def test_probabilities_are_averaged_and_not_logits():
    students = [nn.Linear(1, 2) for _ in range(3)]
    for student, logits in zip(students, ([9.0, 0.0], [0.0, 3.0], [0.0, 3.0]), strict=True):
        nn.init.zeros_(student.weight)
        student.bias.data = torch.tensor(logits)
    found = ensemble_accuracy(
        students, [(torch.ones(2, 1), torch.tensor([1, 1]))]
    )  # the mean of logits names 0
    assert (found.students, found.ensemble) == ((0.0, 1.0, 1.0), 1.0)


def test_it_is_the_summarys(three):
    found = analyses["ensemble"](three.folder)
    test, shipped = three.summary.test, three.summary.shipped
    assert found["students"] == pytest.approx(test.students)
    assert found["ensemble"] == pytest.approx(test.ensemble)
    assert found["shipped"] == pytest.approx(shipped.test)
    assert found["best"] == max(found["students"])
    assert found["gain"]["mean"] == pytest.approx(100 * (test.ensemble - test.mean))
    assert found["gain"]["shipped"] == pytest.approx(100 * (test.ensemble - shipped.test))
    table = analyses["ensemble"].table(found)
    assert (f"shipped: student {shipped.student}", f"{shipped.test:.2%}") in [row[:2] for row in table]


def test_one_student_is_an_ensemble_of_one(one):
    found = analyses["ensemble"](one.folder)
    assert found["ensemble"] == found["shipped"] == found["any"] == found["all"]
    assert set(found["gain"].values()) == {0.0}
