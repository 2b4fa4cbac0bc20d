"""How those answer whom a row's owner consults: in the owner's own pass, or in one of their own."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import studygroup as sg
from helpers.networks import CLASSES
from helpers.tasks import batch, owners, smooth, task
from studygroup.objectives import Ensemble, Imitation, InnerClassifiers, Supervised
from studygroup.teachers import Gate, MeanOfOthers, PeerAttention, RandomSubgroup


def test_peers_leave_no_side_effects():
    """State, random numbers and supervised losses are those of a step in which nobody was asked."""
    x, y = batch()
    results = []
    for further in ([], [Imitation(RandomSubgroup(0.5))]):
        t = task(*further).train()
        torch.manual_seed(3)
        losses = t(x, y, owner=owners())
        state = copy.deepcopy(t.group.state_dict())
        results.append((losses.supervised, torch.rand(1), state))
    (first, one, state), (second, other, other_state) = results
    assert torch.equal(first, second)
    assert one == other
    assert all(torch.equal(state[key], other_state[key]) for key in state)
    assert state["model.1.bank.0.num_batches_tracked"] == 1


def test_peers_answer_by_batch_statistics_unless_told_otherwise():
    x, y = batch()
    answers = {}
    for peers in ("train", "eval"):
        t = task(Imitation(MeanOfOthers()), peers=peers).train()
        t(x, y, owner=owners())  # with the dry runs
        seen = []
        t.group.model[1].register_forward_hook(
            lambda module, *_, seen=seen: seen.append((module.training, module.bank[0].track_running_stats))
        )
        t(x, y, owner=owners())
        answers[peers] = seen
    assert answers["train"] == [(True, False), (True, True)]
    assert answers["eval"] == [(False, True), (True, True)]


TEACHERS = {
    "mean": MeanOfOthers,
    "subgroup": lambda: RandomSubgroup(0.5, selection="bernoulli"),
    "attention": lambda: PeerAttention(8, leader=2, reduction=2),
    "gate": lambda: Gate(8, students=3),
}


def smooth_task(
    rule: str, *, moved: bool = True, ensemble: float = 1.0, further=(), **options
) -> sg.CollaborativeLearning:
    torch.manual_seed(0)
    group = sg.StudyGroup(smooth(), sg.routes.branches(["2", "4"], students=3, leader=2))
    teacher = TEACHERS[rule]()
    parts = [Supervised(), Imitation(teacher, temperature=2.0, moves_teachers=moved)]
    parts += [Ensemble(teacher, weight=ensemble)] if rule == "gate" else []
    task = sg.CollaborativeLearning(group, [*parts, *further], **options).double()
    for module in task.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eval()  # the gate's, which mixes rows
    return task


@pytest.mark.parametrize("rule", ["mean", "attention", "gate"])
@pytest.mark.parametrize("peers", ["joint", "train", "eval"])
def test_with_a_gradient_for_peers_an_owner_at_a_time_adds_up_to_all_at_once(rule, peers):
    """Without dropout and norm, the students' losses on all rows are those of one owner after another."""
    x, y = batch(6)
    x = x.double()
    whole = smooth_task(rule, ensemble=0.6)
    parts = smooth_task(rule, ensemble=0.2, peers=peers)  # every pass has the ensemble's loss
    losses = whole(x, y)
    losses.total.backward()
    total = sum(parts(x, y, owner=[student] * 6).total for student in range(3))
    total.backward()
    torch.testing.assert_close(total, losses.total)
    for own, expected in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(own.grad, expected.grad)
    assert all(p.grad.any() for p in parts.parameters())


def counted(task: sg.CollaborativeLearning) -> list[None]:
    """One entry for each pass of the group from now on."""
    calls: list[None] = []
    task.group.register_forward_hook(lambda *_: calls.append(None))
    return calls


@pytest.mark.parametrize("rule", TEACHERS)
@pytest.mark.parametrize("moved", [True, False])
@pytest.mark.parametrize("owner", [[0, 1, 2, 1, 0, 2], [1, 0, 0, 0, 1, 1]], ids=["all", "one is absent"])
def test_in_one_pass_peers_say_what_they_say_in_two(rule, moved, owner):
    """Loss and the gradient of every parameter, in float64."""
    if rule == "attention" and not moved:
        pytest.skip("attention learns through the targets alone")
    x, y = batch(6)
    x = x.double()
    found = []
    for peers, passes in (("joint", 1), ("train", 2)):
        t = smooth_task(rule, moved=moved, peers=peers)
        t(x, y, owner=owner)  # another step, other draws
        calls = counted(t)
        losses = t(x, y, owner=owner)
        assert len(calls) == passes
        losses.total.backward()
        found.append((losses, [p.grad for p in t.parameters()]))
    (one, gradients), (two, others) = found
    close = {"atol": 1e-13, "rtol": 1e-12}
    torch.testing.assert_close(one.total, two.total, **close)
    torch.testing.assert_close(one.logits, two.logits, **close)
    for name, value in one.values.items():
        torch.testing.assert_close(value, two.values[name], **close)
    assert one.imitation.any()
    for gradient, expected in zip(gradients, others, strict=True):
        torch.testing.assert_close(gradient, expected, **close)


def test_an_objective_that_captures_something_has_the_owners_pass_for_itself():
    x, y = batch(6)
    x, owner = x.double(), [0, 1, 2, 1, 0, 2]
    found = []
    for peers in ("joint", "train"):
        torch.manual_seed(5)
        inner = InnerClassifiers({"0": 8}, classes=CLASSES, weight=0.3)
        t = smooth_task("mean", further=[inner], peers=peers)
        t(x, y)
        calls = counted(t)
        losses = t(x, y, owner=owner)
        assert len(calls) == 2
        losses.total.backward()
        found.append((losses.total, [p.grad for p in t.parameters()]))
    assert torch.equal(found[0][0], found[1][0])
    assert all(torch.equal(a, b) for a, b in zip(found[0][1], found[1][1], strict=True))


def test_in_one_pass_batch_norms_see_the_rows_of_owners_and_peers_once():
    """Together, in one batch: that is what the second pass is for where they must not."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, CLASSES))
    group = sg.StudyGroup(net, sg.routes.branches(["0", "1", "2"], students=2), example=batch()[0])
    t = sg.CollaborativeLearning(group, [Supervised(), Imitation(MeanOfOthers())], peers="joint").double()
    x, y = batch()
    x = x.double()
    losses = t(x, y, owner=[0] * 12 + [1] * 4)
    for norm, first in zip(group.copies("1"), group.copies("0"), strict=True):
        assert norm.num_batches_tracked == 1
        torch.testing.assert_close(norm.running_mean, 0.1 * first(x).mean(0))  # of all sixteen rows
    z = group.copies("2")[0](F.batch_norm(group.copies("0")[0](x), None, None, training=True))
    torch.testing.assert_close(losses.logits[0, :12], z[:12])
    assert not losses.logits[0, 12:].any()


@pytest.mark.parametrize("peers", ["train", "eval"])
def test_peers_with_a_gradient_leave_no_side_effects(peers):
    """State and random numbers are those of a step in which peers answer without a gradient."""
    x, y = batch()
    results = []
    for moves in (False, True):
        t = task(Imitation(MeanOfOthers(), moves_teachers=moves), peers=peers).train()
        torch.manual_seed(3)
        losses = t(x, y, owner=owners())
        state = copy.deepcopy(t.group.state_dict())
        losses.total.backward()
        results.append((losses, torch.rand(1), state, t.group.model[0].bank[0].weight.grad))
    (first, one, state, plain), (second, other, other_state, flowing) = results
    assert torch.equal(first.supervised, second.supervised)
    assert one == other
    assert all(torch.equal(state[key], other_state[key]) for key in state)
    if peers == "train":  # in evaluation they answer after the supervised pass, whose statistics they take
        assert torch.equal(first.total, second.total)
    assert not torch.allclose(plain, flowing)


def test_the_gradient_of_peers_in_evaluation_is_that_of_the_statistics_they_used():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, CLASSES))
    group = sg.StudyGroup(net, sg.routes.branches(["3"], students=2))
    moving = [Supervised(), Imitation(MeanOfOthers(), moves_teachers=True)]
    t = sg.CollaborativeLearning(group, moving, peers="eval").double()
    x, y = batch()
    x = x.double()
    own, peer = (group.export(student) for student in range(2))
    z, answer = own.train()(x), nn.Sequential(*own[:3], peer[3]).eval()(x)
    target = answer.softmax(-1)
    kl = (target * (target.log() - z.log_softmax(-1))).sum(-1).mean()
    (F.cross_entropy(z, y) + kl).backward()
    losses = t(x, y, owner=[0] * 16)
    losses.total.backward()
    torch.testing.assert_close(losses.imitation[0], kl)
    for layer in (0, 1):
        torch.testing.assert_close(group.model[layer].weight.grad, own[layer].weight.grad)
    torch.testing.assert_close(group.model[3].bank[1].weight.grad, peer[3].weight.grad)


@pytest.mark.parametrize("peers", ["joint", "train", "eval"])
def test_two_steps_before_one_backward_pass_are_two_backward_passes(peers):
    """The second moves statistics that the graph of the first has read."""

    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, CLASSES)).double()

    torch.manual_seed(0)
    task = sg.recipes.cgl(make(), layers=["0", "1", "3"], students=3, modules=2, init=make, peers=peers)
    x, y = batch(6)
    x, owner = x.double(), [0] * (len(y) // 2) + [1] * (len(y) - len(y) // 2)
    for _ in range(2):
        task(x, y, owner=owner)
    other = copy.deepcopy(task)
    (task(x, y, owner=owner).total + task(x + 1, y, owner=owner).total).backward()
    for shift in (0, 1):
        other(x + shift, y, owner=owner).total.backward()
    for one, two in zip(task.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-10, atol=1e-14)


def test_what_teachers_have_to_log_is_told_by_name():
    x, y = batch(6)
    t = smooth_task("attention")
    assert t.figures() == {}
    t(x.double(), y)
    assert list(t.figures()) == ["entropy"]
    assert t.figures()["entropy"] == t.teachers[0].entropy
