"""OKDDip's loss and gradient against loops in float64, written from Chen et al. 2020 and its public code."""

import copy
import math

import pytest
import torch

import studygroup as sg
from helpers.loops import (
    ROWS,
    answers,
    assert_all_learn,
    assert_equal_gradients,
    assert_own_parameters,
    batch,
    build,
    hard,
    kl,
    log_psi,
    networks,
)


def make(**options) -> sg.CollaborativeLearning:
    torch.manual_seed(0)
    options = {"layers": ("2", "4"), "reduction": 2} | options
    return sg.recipes.okddip(build(), example=torch.randn(2, 4), **options).double()


def attention_by_loop(rule, features) -> list[list[torch.Tensor]]:
    """softmax over peers of L(h_a) · E(h_b) for one row; features of the peers."""
    queries = [rule.query.weight @ h for h in features]
    keys = [rule.key.weight @ h for h in features]
    rows = [[sum(a * b for a, b in zip(q, k, strict=True)) for k in keys] for q in queries]
    return [[torch.exp(v) / sum(torch.exp(u) for u in row) for v in row] for row in rows]


@pytest.mark.parametrize("layers", [("2", "4"), ("",)])
@pytest.mark.parametrize("aggregate", ["logits", "probabilities"])
def test_the_loss_and_its_gradient_are_the_papers(layers, aggregate):
    task = make(layers=layers, aggregate=aggregate)
    x, y = batch()
    nets, rule = networks(task), copy.deepcopy(task.teachers[0])
    peers, leader, progress = range(3), 3, 0.1
    ramp = math.exp(-5 * (1 - progress / (80 / 300)) ** 2)
    z = answers(nets, x)
    total, entropy = sum(hard(z[k]) for k in range(4)), 0.0

    def target(weights, n):
        if aggregate == "logits":
            return log_psi(sum(w * z[b][n] for w, b in zip(weights, peers, strict=True)), 3.0)
        soft = [[torch.exp(v) for v in log_psi(z[b][n], 3.0)] for b in peers]
        return [torch.log(sum(w * soft[b][c] for w, b in zip(weights, peers, strict=True))) for c in range(7)]

    for n in range(ROWS):
        rows = attention_by_loop(rule, [nets[a][:4](x[n]) for a in peers])
        for a in peers:
            total = total + ramp * 9 * kl(target(rows[a], n), log_psi(z[a][n], 3.0)) / ROWS
            entropy = entropy - sum(w.item() * math.log(w.item()) for w in rows[a]) / 3 / ROWS
        total = total + ramp * 9 * kl(target([1 / 3] * 3, n), log_psi(z[leader][n], 3.0)) / ROWS
    total.backward()

    losses = task(x, y, progress=progress)
    losses.total.backward()
    torch.testing.assert_close(losses.total, total)
    assert_equal_gradients(task, nets, layers)
    for own, expected in zip(task.teachers[0].parameters(), rule.parameters(), strict=True):
        torch.testing.assert_close(own.grad, expected.grad)
    assert task.teachers[0].entropy.item() == pytest.approx(entropy)
    assert_all_learn(task)


@pytest.mark.parametrize("peers", ["joint", "train", "eval"])
def test_a_peer_that_leaves_itself_out_asks_by_its_own_features_where_each_row_has_an_owner(peers):
    task = make(include_self=False, temperature=1.0, scale_by_t2=False)
    task.peers = peers
    x, y = batch()
    nets, rule = networks(task), task.teachers[0]
    owner = [n % 4 for n in range(ROWS)]
    losses = {k: [] for k in range(4)}
    with torch.no_grad():
        z = answers(nets, x)
        for n, k in enumerate(owner):
            features = [nets[a][:4](x[n]) for a in range(3)]
            others = [b for b in range(3) if b != k]
            weight = rule.query.weight if k < 3 else 0 * rule.query.weight  # the leader hears all alike
            asked = weight @ nets[k][:4](x[n])
            energy = [math.exp(asked @ (rule.key.weight @ features[b])) for b in others]
            heard = sum(e / sum(energy) * z[b][n] for e, b in zip(energy, others, strict=True))
            losses[k].append(kl(log_psi(heard, 1.0), log_psi(z[k][n], 1.0)).item())
        found = task(x, y, owner=owner, progress=1.0).values["imitation"]
    assert found.tolist() == pytest.approx([sum(own) / len(own) for own in losses.values()])


def test_branches_have_parameters_of_their_own():
    assert_own_parameters(make(), ("2", "4"))


def test_nobody_listens_to_the_leader():
    task = make()
    x, _ = batch()
    consults = task.teachers[0].consults(0)
    assert not consults[:, 3].any()
    outputs = task.group(x, capture=task.teachers[0].capture)
    weights = task.teachers[0].weights(outputs, consults)
    assert not weights[:, :, 3].any()
    torch.testing.assert_close(weights.sum(-1), torch.ones(ROWS, 4, dtype=torch.float64))
    torch.testing.assert_close(weights[:, 3, :3], torch.full((ROWS, 3), 1 / 3, dtype=torch.float64))


def test_the_papers_defaults():
    task = make(reduction=8)
    assert (task.group.students, task.group.routes.leader, task.teachers[0].leader) == (4, 3, 3)
    imitation = task.objectives[1]
    assert (imitation.temperature, imitation.scale_by_t2, imitation.aggregate) == (3.0, True, "logits")
    assert imitation.moves_teachers
    assert task.teachers[0].query.weight.shape == (1, 6)
    assert task.weights(0.3)["imitation"] == 1.0
    with pytest.raises(ValueError, match="students is 2; give a whole number, at least 3"):
        make(students=2)
