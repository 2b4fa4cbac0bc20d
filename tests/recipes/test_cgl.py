"""CGL's loss and gradient against loops in float64, written from equations 2 to 7."""

import copy
import math

import pytest
import torch
from torch import nn

import studygroup as sg

STUDENTS, CLASSES, ROWS = 3, 7, 5


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, CLASSES))


def log_softmax(z):
    return z - torch.log(sum(torch.exp(value) for value in z))


@pytest.mark.parametrize("selection", ["fixed", "bernoulli"])
@pytest.mark.parametrize("progress", [0.05, 0.5])
@pytest.mark.parametrize("moved", [None, True])
def test_the_loss_and_its_gradient_are_the_papers(selection, progress, moved):
    torch.manual_seed(0)
    options = {"modules": 2, "probability": 0.6, "selection": selection, "peers_gradient": moved, "seed": 4}
    task = sg.recipes.cgl(build(), layers=["0", "2"], students=STUDENTS, **options).double()
    x = torch.randn(ROWS, 4, dtype=torch.float64)
    y = torch.tensor([0, 3, 6, 2, 2])
    owner = [2, 0, 1, 2, 0]
    networks = [task.group.export(k) for k in range(STUDENTS)]
    consults = copy.deepcopy(task.teachers[0]).consults(0).tolist()
    phi = math.exp(-5 * (1 - progress / 0.2) ** 2) if progress <= 0.2 else 1.0
    divisor = round(0.6 * STUDENTS) if selection == "fixed" else 0.6 * (STUDENTS - 1)

    total = torch.zeros((), dtype=torch.float64)
    for k in range(STUDENTS):
        rows = [n for n in range(ROWS) if owner[n] == k]
        for n in rows:
            z = networks[k](x[n])
            total = total - log_softmax(z)[y[n]] / len(rows)  # equations 2 and 3
            peers = [j for j in range(STUDENTS) if consults[k][j]]
            if peers:
                z_t = sum(networks[j](x[n]) for j in peers) / divisor  # equation 5
                z_t = z_t if moved else z_t.detach()
                log_q, log_p = log_softmax(z_t / 3.0), log_softmax(z / 3.0)
                kl = sum(log_q[c].exp() * (log_q[c] - log_p[c]) for c in range(CLASSES))  # equation 4
                total = total + phi * kl / len(rows)  # equation 6
    total.backward()

    losses = task(x, y, owner=owner, progress=progress)
    losses.total.backward()
    torch.testing.assert_close(losses.total, total)
    for name, row in zip(task.group.routes.layers, task.group.routes.table, strict=True):
        for module in range(2):
            own = task.group.model[int(name)].bank[module].weight.grad
            expected = sum(networks[k][int(name)].weight.grad for k in range(STUDENTS) if row[k] == module)
            torch.testing.assert_close(own, expected)
    shared = sum(network[4].weight.grad for network in networks)
    torch.testing.assert_close(task.group.model[4].weight.grad, shared)


def test_the_papers_defaults():
    task = sg.recipes.cgl(build(), layers=["0", "2", "4"])
    assert task.group.students == 8
    assert set(task.group.routes.modules) == {2}
    assert (task.teachers[0].probability, task.teachers[0].size, task.teachers[0].selection) == (
        0.25,
        2,
        "fixed",
    )
    assert task.rows == sg.Subsets(0.0)
    assert [task.weights(p)["imitation"] for p in (0.2, 0.9)] == [1, 1]
    assert task.weights(0.0)["imitation"] == pytest.approx(math.exp(-5))
    imitation = task.objectives[1]
    assert (imitation.temperature, imitation.scale_by_t2, imitation.moves_teachers) == (3.0, False, False)
    assert (task.reduction, task.peers) == ("sum", "train")


def test_without_subsets_every_student_sees_all_rows():
    task = sg.recipes.cgl(build(), layers=["0", "2"], students=4, subsets=False)
    assert task.rows == sg.SharedRows()
    assert task(torch.randn(3, 4), torch.tensor([0, 1, 2])).total.isfinite()


@pytest.mark.parametrize("owned", [False, True])
@pytest.mark.parametrize("selection", ["fixed", "bernoulli"])
def test_without_imitation_the_loss_is_that_of_the_labels(selection, owned):
    torch.manual_seed(0)
    options = {"layers": ["0", "2"], "students": STUDENTS, "selection": selection, "subsets": owned}
    task = sg.recipes.cgl(build(), probability=0.0, **options).double()
    x, y = torch.randn(ROWS, 4, dtype=torch.float64), torch.tensor([0, 3, 6, 2, 2])
    owner = [2, 0, 1, 2, 0] if owned else None
    networks = [task.group.export(k) for k in range(STUDENTS)]
    total = torch.zeros((), dtype=torch.float64)
    for k in range(STUDENTS):
        rows = [n for n in range(ROWS) if owner is None or owner[n] == k]
        total = total - sum(log_softmax(networks[k](x[n]))[y[n]] for n in rows) / len(rows)
    total.backward()
    calls = []
    task.group.register_forward_hook(lambda *_: calls.append(None))
    losses = task(x, y, owner=owner, progress=1.0)
    losses.total.backward()
    assert len(calls) == 1  # no peer is asked
    torch.testing.assert_close(losses.total, total)
    assert not losses.imitation.any()
    shared = sum(network[4].weight.grad for network in networks)
    torch.testing.assert_close(task.group.model[4].weight.grad, shared)


def test_a_structure_of_its_own():
    def routes(**options):
        return sg.recipes.cgl(build(), layers=["0", "2", "4"], **options).group.routes

    assert routes(seed=3) == routes(seed=3, structure=None) == routes(seed=5, structure=3)
    assert routes(seed=5, structure=0) == routes(seed=0) != routes(seed=5)
    first, second = (
        sg.recipes.cgl(build(), layers=["0"], probability=0.5, seed=seed, structure=1) for seed in (1, 2)
    )
    assert first.group.routes == second.group.routes
    # the run's seed stays that of the sub-groups
    assert not all(
        torch.equal(first.teachers[0].consults(step), second.teachers[0].consults(step)) for step in range(9)
    )


def test_parameters_stay_constant_as_students_join():
    counts = {
        k: sum(p.numel() for p in sg.recipes.cgl(build(), layers=["0", "2"], students=k).parameters())
        for k in (2, 4, 8, 16)
    }
    assert len(set(counts.values())) == 1
