"""Which student ships, against loops over the exported networks."""

import pytest
import torch
from torch import nn

import studygroup as sg

CLASSES = 3


def make() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, CLASSES)
    )


def batches(count: int = 3) -> list[tuple[torch.Tensor, torch.Tensor]]:
    draw = torch.Generator().manual_seed(0)
    return [
        (torch.randn(7 + k, 6, generator=draw), torch.randint(CLASSES, (7 + k,), generator=draw))
        for k in range(count)
    ]


@pytest.fixture
def task() -> sg.CollaborativeLearning:
    torch.manual_seed(0)
    return sg.recipes.dml(make(), students=3, init=make).train()


def test_shares_are_those_of_the_exported_networks(task):
    expected = []
    for student in range(3):
        network = task.shipped.export(student).eval()
        hits = [(network(x).argmax(1) == y).float() for x, y in batches()]
        expected.append(torch.cat(hits).mean().item())
    before = {name: value.clone() for name, value in task.state_dict().items()}
    assert sg.accuracies(task, batches()) == pytest.approx(expected)
    assert task.training, "the mode stays"
    assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())
    assert len(set(expected)) > 1
    assert sg.best_student(task, batches()) == expected.index(max(expected))


def test_mappings_are_scored_as_tuples(task):
    mappings = [{"input": x, "labels": y, "owner": [0]} for x, y in batches()]
    assert sg.accuracies(task, mappings) == sg.accuracies(task, batches())


def test_rows_without_a_label_do_not_count_and_no_number_is_no_answer(task):
    x, y = batches(1)[0]
    some = y.clone()
    some[2:] = -100
    assert sg.accuracies(task, [(x, some)]) == sg.accuracies(task, [(x[:2], y[:2])])
    assert sg.accuracies(task, [(x * torch.nan, y)]) == (0.0, 0.0, 0.0)


def test_a_leader_ships_whatever_the_scores():
    torch.manual_seed(0)
    task = sg.recipes.okddip(make(), layers=["4"], example=torch.randn(2, 6), students=3, init=make)
    leader = task.group.routes.leader
    scores = [0.9] * task.group.students
    scores[leader] = 0.1
    assert sg.student_to_ship(task, scores) == leader


@pytest.mark.parametrize("scores", [[0.1, 0.2], [0.1, 0.2, float("nan")]])
def test_scores_are_one_number_a_student(task, scores):
    with pytest.raises(ValueError, match="of 3 students; hand in one number for each"):
        sg.student_to_ship(task, scores)


def test_among_equals_the_first_ships(task):
    assert sg.student_to_ship(task, [0.2, 0.7, 0.7]) == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([], "no labelled rows"),
        ([torch.randn(4, 6)], "a batch is a Tensor"),
        ([(torch.randn(4, 6), torch.rand(4, CLASSES))], "class indices alone"),
    ],
)
def test_what_cannot_be_scored_is_refused(task, wrong, said):
    with pytest.raises(ValueError, match=said):
        sg.accuracies(task, wrong)
    assert task.training


def test_averages_are_scored_in_evaluation_whatever_the_students_do():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(6, 16), torch.nn.BatchNorm1d(16), torch.nn.Dropout(0.5), torch.nn.Linear(16, 3)
    )
    task = sg.recipes.self_distillation(net)
    x, y = torch.randn(64, 6) + 1, torch.randint(3, (64,))
    for _ in range(3):
        task(x, y).total.backward()
    before = {name: value.clone() for name, value in task.shipped.state_dict().items()}
    assert task.training
    found = sg.accuracies(task, [(x[:5], y[:5]), (x[5:], y[5:])])
    exported = task.shipped.export(student=0).eval()
    assert found == (float((exported(x).argmax(1) == y).double().mean()),)
    torch.testing.assert_close(task.shipped.state_dict(), before, rtol=0, atol=0)
