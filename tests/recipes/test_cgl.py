"""CGL's loss and gradient against loops in float64, written from equations 2 to 7."""

import copy
import math

import pytest
import torch
from torch import nn

import studygroup as sg

STUDENTS, CLASSES, ROWS = 3, 5, 5


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, CLASSES))


def log_softmax(z):
    return z - torch.log(sum(torch.exp(value) for value in z))


def pathway(parameters, table, student, x):
    """Student k on one row, by hand: the modules of its path in two layers, then the classifier of all."""
    for layer, name in enumerate(("0", "2")):
        module = f"group.model.{name}.bank.{table[layer][student]}"
        x = torch.tanh(parameters[f"{module}.weight"] @ x + parameters[f"{module}.bias"])
    return parameters["group.model.4.weight"] @ x + parameters["group.model.4.bias"]


def paper(answer, x, y, owner, *, consults, divisor, temperature, progress, moved):
    """Equations 2 to 7, a mean over a student's rows of the batch in place of the sums over its sub-set."""
    phi = math.exp(-5 * (1 - progress / 0.2) ** 2) if progress <= 0.2 else 1.0  # equation 7
    total = torch.zeros((), dtype=torch.float64)
    for k in range(len(consults)):
        rows = [n for n in range(len(x)) if owner[n] == k]
        for n in rows:
            z = answer(k, x[n])
            total = total - log_softmax(z)[y[n]] / len(rows)  # equations 2 and 3
            peers = [j for j, asked in enumerate(consults[k]) if asked]
            if peers:
                z_t = sum(answer(j, x[n]) for j in peers) / divisor  # equation 5
                z_t = z_t if moved else z_t.detach()
                log_q, log_p = log_softmax(z_t / temperature), log_softmax(z / temperature)
                kl = sum(log_q[c].exp() * (log_q[c] - log_p[c]) for c in range(CLASSES))  # equation 4
                total = total + phi * kl / len(rows)  # equation 6
    return total


@pytest.mark.parametrize("selection", ["fixed", "bernoulli"])
@pytest.mark.parametrize("probability", [0.6, 1.0])
@pytest.mark.parametrize("progress", [0.05, 0.5])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("moved", [True, False])
def test_the_loss_and_the_gradient_of_every_parameter_are_the_papers(
    selection, probability, progress, temperature, moved
):
    def build_task(peers):
        torch.manual_seed(0)
        return sg.recipes.cgl(
            build(), layers=["0", "2"], students=STUDENTS, modules=2, probability=probability, seed=4,
            selection=selection, temperature=temperature, peers=peers, peers_gradient=moved,
        ).double()  # fmt: skip

    x = torch.randn(ROWS, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    y, owner = torch.tensor([0, 3, 4, 2, 2]), [2, 0, 1, 2, 0]
    task = build_task("train")
    consults = copy.deepcopy(task.teachers[0]).consults(0).tolist()
    if probability == 1.0:
        assert consults == [[j != k for j in range(STUDENTS)] for k in range(STUDENTS)]
    divisor = round(probability * STUDENTS) if selection == "fixed" else probability * (STUDENTS - 1)

    own = {name: p.detach().clone().requires_grad_() for name, p in task.named_parameters()}
    total = paper(
        lambda k, row: pathway(own, task.group.routes.table, k, row), x, y, owner, consults=consults,
        divisor=min(divisor, STUDENTS - 1), temperature=temperature, progress=progress, moved=moved,
    )  # fmt: skip
    total.backward()

    for made in (task, build_task("joint")):
        losses = made(x, y, owner=owner, progress=progress)
        losses.total.backward()
        torch.testing.assert_close(losses.total, total, rtol=1e-12, atol=0)
        assert losses.imitation.any()
        for name, parameter in made.named_parameters():
            expected = torch.zeros_like(parameter) if own[name].grad is None else own[name].grad
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-9, atol=1e-14)


def test_peers_are_moved_unless_told_otherwise():
    """Two students who share only what is behind the first layer; the second has no row of its own."""
    x, y = torch.randn(ROWS, 4), torch.tensor([0, 3, 4, 2, 2])
    for options, moves in (({}, True), ({"peers_gradient": False}, False)):
        torch.manual_seed(0)
        task = sg.recipes.cgl(build(), layers=["0"], students=2, **options)
        (row,) = task.group.routes.table
        assert sorted(row) == [0, 1]
        task(x, y, owner=[0] * ROWS, progress=1.0).total.backward()
        peer = task.group.model[0].bank[row[1]].weight.grad
        assert (peer is not None and bool(peer.any())) is moves


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
    assert (imitation.temperature, imitation.scale_by_t2, imitation.moves_teachers) == (1.0, False, True)
    assert (task.reduction, task.peers) == ("sum", "joint")


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
    x, y = torch.randn(ROWS, 4, dtype=torch.float64), torch.tensor([0, 3, 4, 2, 2])
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


@pytest.mark.filterwarnings("ignore::studygroup.EqualPathsWarning")
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


@pytest.mark.filterwarnings("ignore::studygroup.EqualPathsWarning")
def test_parameters_stay_constant_as_students_join():
    counts = {
        k: sum(p.numel() for p in sg.recipes.cgl(build(), layers=["0", "2"], students=k).parameters())
        for k in (2, 4, 8, 16)
    }
    assert len(set(counts.values())) == 1
