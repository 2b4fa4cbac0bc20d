"""All students as one module, against the mean over what each exported network answers."""

import pytest
import torch
from torch import nn

import studygroup as sg
from studygroup.ensembling import Ensemble


def make() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)
    ).double()


@pytest.fixture
def task() -> sg.CollaborativeLearning:
    """Two of four students share the second linear layer, all the first."""
    torch.manual_seed(0)
    task = sg.recipes.tree(make(), table={"1": [0, 0, 1, 1], "4": [0, 1, 2, 3]}, init=make).train()
    optimiser = torch.optim.SGD(task.parameters(), lr=0.1)
    for _ in range(2):
        task(torch.randn(16, 6).double(), torch.randint(3, (16,))).total.backward()
        optimiser.step()
    return task


def test_its_answer_is_the_mean_of_probabilities(task):
    x, together = torch.randn(5, 6).double(), sg.ensemble(task)
    shares = torch.zeros(5, 3, dtype=torch.float64)
    for k in range(4):
        shares += task.shipped.export(k).eval()(x).softmax(1) / 4
    torch.testing.assert_close(together(x).softmax(1), shares, rtol=1e-12, atol=0)
    torch.testing.assert_close(together(x).exp(), shares, rtol=1e-12, atol=0)
    expected = sum(task.shipped.export(k).eval()(x) for k in range(4)) / 4
    logits = Ensemble(list(together.networks), average="logits")
    torch.testing.assert_close(logits(x), expected, rtol=1e-12, atol=1e-12)


def test_what_students_share_is_held_once(task):
    together = sg.ensemble(task)
    assert sum(p.numel() for p in together.parameters()) == sum(p.numel() for p in task.shipped.parameters())
    first, second, third = (net[1].weight for net in list(together.networks)[:3])
    assert first is second
    assert first is not third
    own = {id(p) for p in task.shipped.parameters()}
    assert not any(id(p) in own for p in together.parameters()), "it is a copy"


def test_statistics_are_those_of_each_network_when_they_are_taken_again(task):
    """`update_bn` counts batches, and students that share a layer each run it."""
    batches = [torch.randn(8, 6).double() for _ in range(3)]
    together = sg.ensemble(task)
    torch.optim.swa_utils.update_bn(batches, together)
    for student, network in enumerate(together.networks):
        alone = task.shipped.export(student)
        torch.optim.swa_utils.update_bn(batches, alone)
        torch.testing.assert_close(network[1].running_mean, alone[1].running_mean)
        torch.testing.assert_close(network[1].running_var, alone[1].running_var)
        assert int(network[1].num_batches_tracked) == 3


def test_other_labels_than_one_class_average_logits(task):
    x, task = torch.randn(5, 6).double(), task.with_criterion(sg.objectives.BinaryCrossEntropy())
    expected = sum(task.shipped.export(k).eval()(x) for k in range(4)) / 4
    torch.testing.assert_close(sg.ensemble(task)(x), expected)


def test_maps_are_averaged_over_their_axis_of_classes():
    nets = [nn.Conv2d(2, 3, 1).double() for _ in range(2)]
    x = torch.randn(2, 2, 4, 4).double()
    expected = sum(net(x).softmax(1) for net in nets) / 2
    torch.testing.assert_close(Ensemble(nets)(x).exp(), expected)


def test_it_teaches_one_network(task):
    x, y = torch.randn(16, 6).double(), torch.randint(3, (16,))
    again = sg.recipes.distillation(task.shipped.export(0), teacher=sg.ensemble(task), example=x, alpha=1.0)
    before = again(x, y).total
    before.backward()
    assert 0 < before.item() < 10
    assert {p.grad is None for p in again.group.parameters()} == {False}


def test_what_gives_no_logits_is_refused():
    with pytest.raises(ValueError, match="there are no networks"):
        Ensemble([])
    with pytest.raises(ValueError, match="returned tuple; networks of an ensemble return logits"):
        Ensemble([nn.LSTM(4, 3)])(torch.randn(2, 5, 4))
