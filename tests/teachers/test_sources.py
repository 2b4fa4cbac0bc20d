"""Moving averages and frozen networks as teachers, against loops written from their definitions."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import studygroup as sg
from helpers.averages import CLASSES, ROWS, STUDENTS, Followed, batch, net, step, students, taught, trained
from studygroup.objectives import Capture, Imitation, Supervised
from studygroup.teachers import Averages, Frozen, MeanOfOthers, Self


def test_averages_are_scored_and_shipped_as_networks_that_can_be_trained():
    task = taught()
    step(task, torch.optim.SGD(trained(task), lr=0.5))
    task.eval()
    x, _ = batch()
    logits = task.shipped(x).logits
    assert not logits.requires_grad
    assert not torch.allclose(logits, task.group(x).logits)
    for student in range(STUDENTS):
        network = task.shipped.export(student)
        assert torch.equal(network(x), logits[student])
        assert all(parameter.requires_grad for parameter in network.parameters())
        assert list(network.state_dict()) == list(net().state_dict())
        assert len(list(task.shipped.parameters_of(student))) == 4
    assert not any(parameter.requires_grad for parameter in task.shipped.parameters())
    with pytest.raises(ValueError, match="no student 2; the group has students 0 to 1"):
        task.shipped.export(2)


def test_averages_give_features_and_inner_layers_as_their_exports_do():
    """For teachers of averages that read more than logits."""
    task = taught()
    step(task, torch.optim.SGD(trained(task), lr=0.5))
    x, _ = batch()
    found = task.shipped(x, capture=Capture(activations=("0",), features=True, trunk=True))
    for student in range(STUDENTS):
        network = task.shipped.export(student)
        hidden = network[0](x)
        torch.testing.assert_close(found.activations["0"][student], hidden)
        torch.testing.assert_close(found.features[student], hidden.tanh())
        torch.testing.assert_close(found.trunk, hidden.tanh())


def kl(q: torch.Tensor, z: torch.Tensor, temperature: float) -> torch.Tensor:
    """Σ_n Σ_c q log(q / ψ(z; T)) over rows, as loops."""
    total = torch.zeros((), dtype=torch.float64)
    for n in range(len(z)):
        powers = [torch.exp(value / temperature) for value in z[n]]
        for c in range(CLASSES):
            total = total + q[n][c] * (torch.log(q[n][c]) - torch.log(powers[c] / sum(powers)))
    return total


def softened(z: torch.Tensor, temperature: float) -> torch.Tensor:
    return torch.stack(
        [torch.exp(row / temperature) / torch.exp(row / temperature).sum() for row in z]
    ).detach()


def assert_step_is(task, nets, total) -> None:
    """Loss and gradient of two branches over one trunk are those of two networks."""
    total.backward()
    losses = task(*batch())
    losses.total.backward()
    torch.testing.assert_close(losses.total, total)
    for student, network in enumerate(nets):
        torch.testing.assert_close(task.group.model[2].bank[student].weight.grad, network[2].weight.grad)
    both = sum(network[0].weight.grad for network in nets)
    torch.testing.assert_close(task.group.model[0].weight.grad, both)


def test_a_student_may_imitate_its_own_average():
    averages = Averages(group := students(), decay=0.9)
    imitation = Imitation(Self(of=averages), temperature=2.0, weight=0.5, scale_by_t2=True)
    task = sg.CollaborativeLearning(group, [Supervised(), imitation], exports=averages)
    step(task, torch.optim.SGD(trained(task), lr=0.5))
    task.zero_grad()
    x, y = batch()
    nets, means = ([g.export(k) for k in range(STUDENTS)] for g in (task.group, task.shipped))
    total = torch.zeros((), dtype=torch.float64)
    for network, mean in zip(nets, means, strict=True):
        z = network(x)
        soft = kl(softened(mean(x), 2.0), z, 2.0) / ROWS
        assert soft > 1e-4
        total = total + F.cross_entropy(z, y) + 0.5 * 4 * soft
    assert_step_is(task, nets, total)


def test_students_listen_to_the_averages_of_others_on_rows_of_their_own():
    """Each on the rows that it owns; every average answers where it is asked."""
    task = taught()
    step(task, torch.optim.SGD(trained(task), lr=0.5))
    task.zero_grad()
    x, y = batch()
    owner = [0, 1, 1, 0, 0, 0, 1, 0]
    asked = []
    task.shipped.register_forward_hook(lambda module, given, out: asked.append(out.sees))
    losses = task(x, y, owner=owner)
    assert torch.equal(asked[0], torch.tensor([[k != o for o in owner] for k in range(STUDENTS)]))
    for k in range(STUDENTS):
        own = [n for n in range(ROWS) if owner[n] == k]
        mean, z = task.shipped.export(1 - k)(x[own]), task.group.export(k)(x[own])
        torch.testing.assert_close(losses.supervised[k], F.cross_entropy(z, y[own]))
        torch.testing.assert_close(losses.imitation[k], kl(softened(mean, 1.0), z, 1.0) / len(own))


def test_averages_of_students_of_different_architectures():
    wide = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, CLASSES))
    averages = Averages(group := sg.Peers([net(), wide]).double(), decay=0.5)
    task = sg.CollaborativeLearning(group, [Supervised(), Imitation(MeanOfOthers(of=averages))])
    expected = Followed(group, 0.5)
    step(task, torch.optim.SGD(trained(task), lr=0.1))
    expected.take()
    expected.assert_is(averages)
    assert task.shipped is group


def test_a_number_that_is_no_decay():
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=rf"decay is {wrong}; give a share of the average in \[0, 1\]"):
            Averages(students(), decay=wrong)


def teacher_net() -> nn.Module:
    """Of another width, with a norm and a dropout that would tell the training mode."""
    torch.manual_seed(3)
    made = nn.Sequential(
        nn.Linear(4, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Dropout(0.5), nn.Linear(10, CLASSES)
    ).double()
    for number in range(5):
        made(3 * batch(number)[0] + 1)
    return made


def test_a_group_is_no_teacher_before_one_of_its_students_is_exported():
    group = students()
    ways = {"teacher": group, "teacher.group": sg.CollaborativeLearning(group, [Supervised()])}
    for way_out, given in ways.items():
        with pytest.raises(ValueError, match="which answers for") as refused:
            Frozen(given)
        said = f"answers for {STUDENTS} students; give one of them, {way_out}.export(0), or a module that returns"
        assert said in str(refused.value)
    assert Frozen(group.export(0)).of.routes.students == 1


def test_a_frozen_network_teaches_all_students():
    """Hinton et al. 2015: CE + T² KL(ψ(teacher; T) ‖ ψ(student; T)), the teacher in evaluation."""
    given = teacher_net()
    imitation = Imitation(Frozen(given), temperature=2.0, weight=0.7, scale_by_t2=True)
    task = sg.CollaborativeLearning(students(), [Supervised(), imitation]).train()
    assert given.training
    before = copy.deepcopy(given.state_dict())
    x, y = batch()
    nets = [task.group.export(k) for k in range(STUDENTS)]
    q = softened(copy.deepcopy(given).eval()(x), 2.0)
    total = torch.zeros((), dtype=torch.float64)
    for network in nets:
        z = network(x)
        total = total + F.cross_entropy(z, y) + 0.7 * 4 * kl(q, z, 2.0) / ROWS
    assert_step_is(task, nets, total)
    (source,) = task.sources
    for mode in (True, False, True):
        task.train(mode)
        assert not any(module.training for module in source.modules())
    optimiser = torch.optim.SGD(task.parameters(), lr=0.5, weight_decay=0.1)
    step(task, optimiser)
    kept = {name: value for name, value in source.state_dict().items() if "_extra" not in name}
    for value, old in zip(kept.values(), before.values(), strict=True):
        assert torch.equal(value, old)
    assert all(torch.equal(given.state_dict()[name], old) for name, old in before.items())
    assert all(parameter.requires_grad for parameter in given.parameters())
    assert task.shipped is task.group


def test_a_frozen_network_answers_on_rows_that_have_owners():
    task = sg.CollaborativeLearning(students(), [Supervised(), Imitation(Frozen(given := teacher_net()))])
    x, y = batch()
    owner = [0, 1, 1, 0, 0, 0, 1, 0]
    losses = task(x, y, owner=owner)
    answers = copy.deepcopy(given).eval()(x)
    for k in range(STUDENTS):
        own = [n for n in range(ROWS) if owner[n] == k]
        z = task.group.export(k)(x[own])
        torch.testing.assert_close(losses.imitation[k], kl(softened(answers[own], 1.0), z, 1.0) / len(own))
