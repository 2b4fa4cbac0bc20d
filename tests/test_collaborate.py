import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import studygroup as sg
from networks import CASES, CLASSES


def norm_net() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, CLASSES)
    )


def task(**options) -> sg.CollaborativeLearning:
    torch.manual_seed(0)
    routes = sg.routes.random([("0", "1"), "4"], students=4, modules=2, seed=0)
    return sg.CollaborativeLearning(sg.StudyGroup(norm_net(), routes, init=norm_net), **options)


def batch(rows: int = 16):
    draw = torch.Generator().manual_seed(7)
    return torch.randn(rows, 6, generator=draw), torch.randint(CLASSES, (rows,), generator=draw)


def owners(rows: int = 16):
    return torch.arange(rows) % 4


def test_no_listener_is_plain_cross_entropy_summed_over_students():
    x, y = batch()
    t = task().eval()
    losses = t(x, y)
    expected = [F.cross_entropy(t.group.export(k).eval()(x), y) for k in range(4)]
    torch.testing.assert_close(losses.supervised, torch.stack(expected))
    torch.testing.assert_close(losses.total, sum(expected))
    assert not losses.imitation.any()


def test_weights_and_reduction():
    x, y = batch()
    rule = sg.listen.MeanOfOthers
    options = {
        "supervised_weight": 0.5,
        "imitation_weight": sg.schedules.ramp_up(0.0, 1.0),
        "temperature": 2.0,
    }
    summed = task(listen=rule(), **options).eval()(x, y, progress=0.5)
    phi = sg.schedules.ramp_up(0.0, 1.0)(0.5)
    torch.testing.assert_close(summed.total, (0.5 * summed.supervised + phi * summed.imitation).sum())
    mean = task(listen=rule(), reduction="mean", **options).eval()(x, y, progress=0.5)
    torch.testing.assert_close(mean.total, summed.total / 4)


def test_peers_leave_no_trace():
    """State, random numbers and supervised losses are those of a step in which nobody was asked."""
    x, y = batch()
    results = []
    for listen in (None, sg.listen.RandomSubgroup(0.5)):
        t = task(listen=listen).train()
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
        t = task(listen=sg.listen.MeanOfOthers(), peers=peers).train()
        seen = []
        t.group.model[1].register_forward_hook(
            lambda module, *_, seen=seen: seen.append((module.training, module.bank[0].track_running_stats))
        )
        t.group._explored = True
        t(x, y, owner=owners())
        answers[peers] = seen
    assert answers["train"] == [(True, False), (True, True)]
    assert answers["eval"] == [(False, True), (True, True)]


def test_owned_rows_are_supervised_for_their_owner_alone():
    x, y = batch()
    t = task().eval()
    owner = owners()[torch.randperm(16, generator=torch.Generator().manual_seed(1))]
    losses = t(x, y, owner=owner)
    for k in range(4):
        own = owner == k
        torch.testing.assert_close(
            losses.supervised[k], F.cross_entropy(t.group.export(k).eval()(x[own]), y[own])
        )
    torch.testing.assert_close(t(x, y, owner=owner.tolist()).total, losses.total)


def test_sub_sets_without_owners_are_warned_of():
    x, y = batch()
    for rows, training in ((sg.Subsets(), False), (sg.SharedRows(), True)):
        task(rows=rows).train(training)(x, y)  # no warning
    own = task(rows=sg.Subsets())
    own(x, y, owner=owners())
    with pytest.warns(sg.NoOwnerWarning, match="all are supervised on all rows; hand in owner"):
        own(x, y)


def test_a_student_without_rows_costs_nothing():
    x, y = batch(5)
    losses = task(listen=sg.listen.MeanOfOthers()).train()(x, y, owner=[0, 0, 1, 1, 3])
    assert losses.supervised[2] == 0
    assert losses.imitation[2] == 0
    losses.total.backward()


def test_targets_are_constants_unless_told_otherwise():
    x, y = batch()
    gradients = []
    for detach in (True, False):
        t = task(listen=sg.listen.MeanOfOthers(), detach=detach, supervised_weight=0.0).eval()
        t(x, y).total.backward()
        gradients.append(t.group.model[0].bank[0].weight.grad)
    assert not torch.allclose(*gradients)


def test_the_step_is_kept_in_the_state_and_decides_the_draws():
    x, y = batch()
    first = task(listen=sg.listen.RandomSubgroup(0.25)).train()
    first(x, y, owner=owners())
    second = task(listen=sg.listen.RandomSubgroup(0.25)).train()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert second.step == 1
    torch.manual_seed(0)
    a = first(x, y, owner=owners())
    torch.manual_seed(0)
    b = second(x, y, owner=owners())
    assert torch.equal(a.total, b.total)
    assert first.eval()(x, y).total is not None
    assert first.step == 2  # evaluation is no step


def test_a_mapping_with_a_mask_trains():
    case = CASES["bert"]
    torch.manual_seed(0)
    routes = sg.routes.random(case.blocks, students=4, modules=2, seed=0)
    group = sg.StudyGroup(case.build(), routes, init=case.build, share_head=True)
    t = sg.CollaborativeLearning(group, listen=sg.listen.RandomSubgroup(0.25))
    losses = t(case.inputs(8), torch.arange(8) % CLASSES, owner=torch.arange(8) % 4)
    losses.total.backward()
    assert losses.total.isfinite()
    assert [n for n, p in t.named_parameters() if p.grad is None] == []


def test_losses_are_added_in_single_precision_under_autocast():
    x, y = batch()
    results = []
    for enabled in (False, True):
        t = task(listen=sg.listen.RandomSubgroup(0.5), temperature=3.0).train()
        torch.manual_seed(3)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            losses = t(x, y, owner=owners())
        losses.total.backward()
        assert losses.total.dtype == losses.logits.dtype == torch.float32
        results.append((losses.total, t.group.model[0].bank[0].weight.grad))
    torch.testing.assert_close(*(total for total, _ in results), atol=0.02, rtol=0.02)
    torch.testing.assert_close(*(gradient for _, gradient in results), atol=0.02, rtol=0.1)
    assert not torch.equal(results[0][0], results[1][0])  # autocast was on


class Learns(sg.listen.MeanOfOthers):
    learns = True


def test_what_does_not_fit_together_is_a_clear_error(unchecked):
    x, y = batch()
    with pytest.raises(ValueError, match=r"labels of shape \(15,\).* for 16 rows"):
        task()(x, y[:15])
    with pytest.raises(ValueError, match=r"labels of shape \(16, 3\)"):
        task()(x, torch.nn.functional.one_hot(y % 3))
    with pytest.raises(ValueError, match=r"torch\.int32, for 16 rows; .* of torch\.int64"):
        task()(x, y.int())
    for progress in (-0.1, 5, float("nan")):
        with pytest.raises(ValueError, match=f"progress is {progress}; hand in the share"):
            task()(x, y, progress=progress)
    for wrong in (-100, task().group(x).logits.shape[-1]):
        with pytest.raises(ValueError, match=f"label {wrong} is not one of 0 to"):
            task()(x, torch.cat([y[:-1], torch.tensor([wrong])]))
    with pytest.raises(ValueError, match="owner 4 is not one of students 0 to 3"):
        task()(x, y, owner=[4] * 16)
    with pytest.raises(ValueError, match="one student number a row"):
        task()(x, y, owner=[0, 1])
    with pytest.raises(ValueError, match="Learns learns through"):
        task(listen=Learns())(x, y, owner=owners())
    with pytest.raises(ValueError, match="reduction='max'"):
        task(reduction="max")
    with pytest.raises(ValueError, match="peers='both'"):
        task(peers="both")


class Learnt(sg.listen.MeanOfOthers):
    learns = True
    one_answer = True


def test_a_rule_that_would_learn_nothing_is_an_error():
    with pytest.raises(
        ValueError, match="Learns learns through the targets, which detach=True makes constants"
    ):
        task(listen=Learns())
    with pytest.raises(ValueError, match="or an ensemble_weight"):
        task(listen=Learnt())
    task(listen=Learns(), detach=False)
    task(listen=Learnt(), ensemble_weight=1.0)


def test_an_ensemble_needs_a_rule_that_makes_one():
    for listen in (None, sg.listen.MeanOfOthers()):
        with pytest.raises(ValueError, match="makes no one answer"):
            task(listen=listen, ensemble_weight=1.0)
    x, y = batch()
    t = task(listen=Learnt(), ensemble_weight=1.0)
    with pytest.raises(ValueError, match="Learnt learns through its peers"):
        t(x, y, owner=owners())


def test_the_ensembles_weight_is_a_function_of_progress():
    x, y = batch()
    t = task(listen=Learnt(), ensemble_weight=sg.schedules.ramp_up(0.0, 1.0), reduction="mean").eval()
    losses = t(x, y, progress=0.5)
    own = (losses.supervised + losses.imitation).mean()
    phi = sg.schedules.ramp_up(0.0, 1.0)(0.5)
    torch.testing.assert_close(losses.total, own + phi * losses.auxiliary["ensemble"])


def test_pairwise_asks_for_probabilities():
    with pytest.raises(
        ValueError, match="Pairwise averages the peers' probabilities, and aggregate is 'logits'"
    ):
        task(listen=sg.listen.Pairwise())


@pytest.mark.parametrize("rule", ["mean", "attention", "gate"])
@pytest.mark.parametrize("peers", ["train", "eval"])
def test_with_a_gradient_for_peers_an_owner_at_a_time_adds_up_to_all_at_once(rule, peers):
    """Without dropout and norm, the students' losses on all rows are those of one owner after another."""
    x, y = batch(6)
    x = x.double()

    def make(peers_gradient: bool, ensemble_weight: float) -> sg.CollaborativeLearning:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, CLASSES))
        group = sg.StudyGroup(net, sg.routes.branches(["2", "4"], students=3, leader=2))
        listen = {
            "mean": sg.listen.MeanOfOthers,
            "attention": lambda: sg.listen.PeerAttention(8, leader=2, reduction=2),
            "gate": lambda: sg.listen.Gate(8, students=3),
        }[rule]()
        return sg.CollaborativeLearning(
            group, listen=listen, detach=False, temperature=2.0, peers=peers,
            ensemble_weight=ensemble_weight if rule == "gate" else 0.0, peers_gradient=peers_gradient,
        ).double()  # fmt: skip

    whole, parts = make(False, 0.6), make(True, 0.2)  # every pass has the ensemble's loss
    losses = whole(x, y)
    losses.total.backward()
    total = sum(parts(x, y, owner=[student] * 6).total for student in range(3))
    total.backward()
    torch.testing.assert_close(total, losses.total)
    for own, expected in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(own.grad, expected.grad)
    assert all(p.grad.any() for p in parts.parameters())


@pytest.mark.parametrize("peers", ["train", "eval"])
def test_peers_with_a_gradient_leave_no_trace(peers):
    """State and random numbers are those of a step in which peers answer without a gradient."""
    x, y = batch()
    results = []
    for options in ({}, {"detach": False, "peers_gradient": True}):
        t = task(listen=sg.listen.MeanOfOthers(), peers=peers, **options).train()
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
    t = sg.CollaborativeLearning(
        group, listen=sg.listen.MeanOfOthers(), detach=False, peers="eval", peers_gradient=True
    ).double()
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


def smooth() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, CLASSES))


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("owner", [[0, 1, 2, 3, 3, 2, 1, 0, 0], [1, 1, 3, 1, 3, 3, 1, 1, 1]])
@pytest.mark.parametrize("include_self", [False, True])
@pytest.mark.parametrize("rule", ["fixed", "bernoulli", "minlogit"])
def test_one_pass_for_owners_and_peers_is_two_where_rows_do_not_mix(moved, owner, include_self, rule):
    """Without norm and dropout; the second owners leave students 0 and 2 without rows."""
    x, y = batch(9)
    x, found = x.double(), []
    for peers in ("train", "joint"):
        torch.manual_seed(0)
        routes = sg.routes.random(["0", "2"], students=4, modules=2, seed=1)
        listen = (
            sg.listen.MinLogit()
            if rule == "minlogit"
            else sg.listen.RandomSubgroup(0.5, selection=rule, include_self=include_self)
        )
        t = sg.CollaborativeLearning(
            sg.StudyGroup(smooth(), routes, init=smooth, share_head=True), listen=listen, temperature=3.0,
            detach=not moved, peers=peers, peers_gradient=moved, imitation_weight=0.7, seed=3,
        ).double().train()  # fmt: skip
        losses = t(x, y, owner=owner)
        losses.total.backward()
        found.append((losses, [p.grad for p in t.parameters()]))
    (two, expected), (one, own) = found
    for name in ("total", "supervised", "imitation", "logits"):
        torch.testing.assert_close(getattr(one, name), getattr(two, name), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(own, expected, rtol=1e-10, atol=1e-14)
    assert one.imitation.any()
    present = torch.arange(4)[:, None] == torch.tensor(owner)
    assert not one.logits[~present].any()


def test_one_pass_calls_the_network_once_and_normalises_owners_and_peers_together():
    x, y = batch()
    t = task(listen=sg.listen.MeanOfOthers(), detach=False, peers="joint", peers_gradient=True).train()
    t(x, y, owner=owners())  # the first call explores
    seen = []
    t.group.model[0].register_forward_hook(lambda *_: seen.append(None))
    before = t.group.model[1].bank[0].num_batches_tracked.item()
    entered = []
    t.group.model[1].bank[0].register_forward_hook(lambda _, given, __: entered.append(given[0].shape[0]))
    t(x, y, owner=owners())
    assert len(seen) == 1
    assert entered == [16]  # every row once, for owner and peers alike
    assert t.group.model[1].bank[0].num_batches_tracked == before + 1


def test_objectives_that_look_inside_see_the_owners_rows_alone():
    """With them the peers answer in a pass of their own."""
    x, y = batch()
    totals = []
    for peers in ("train", "joint"):
        part = Length(name="length", weight=0.5)
        t = task(listen=sg.listen.MeanOfOthers(), peers=peers, auxiliary=[part]).train()
        torch.manual_seed(3)
        totals.append(t(x, y, owner=owners()).total)
    assert torch.equal(*totals)


def test_a_gradient_for_peers_must_lead_somewhere():
    with pytest.raises(ValueError, match="peers_gradient=True asks for a gradient"):
        task(listen=sg.listen.MeanOfOthers(), peers_gradient=True)
    task(listen=Learnt(), ensemble_weight=1.0, peers_gradient=True)(*batch(), owner=owners())


def test_turns_go_through_steps():
    x, y = batch()
    t = task(listen=sg.listen.MeanOfOthers(), in_turn=True).train()
    with pytest.raises(ValueError, match=r"go through task\.steps"):
        t(x, y)
    with pytest.raises(ValueError, match="leave owner out"):
        next(t.steps(x, y, owner=owners()))
    assert t.eval()(x, y).total.isfinite()
    with pytest.raises(ValueError, match="Learns learns, and in_turn=True"):
        task(listen=Learns(), detach=False, in_turn=True)
    with pytest.raises(ValueError, match="rows are sub-sets"):
        task(in_turn=True, rows=sg.Subsets())
    joint = task(listen=sg.listen.RandomSubgroup(0.5)).eval()
    (losses,) = joint.steps(x, y, owner=owners())
    assert torch.equal(losses.total, joint(x, y, owner=owners()).total)


def test_the_gate_learns_under_autocast():
    x, y = batch()
    torch.manual_seed(0)
    t = sg.recipes.one(norm_net(), layers=["4"], example=x, init=norm_net)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        t(x, y).total.backward()
    assert t.listen.linear.weight.grad.abs().sum() > 0


class Length(sg.auxiliary.Auxiliary):
    """Mean square of the logits."""

    def forward(self, step):
        return step.outputs.logits.square().mean()


def test_auxiliary_objectives_are_added_by_name():
    x, y = batch()
    parts = [Length(name="length", weight=0.5), Length(name="late", weight=sg.schedules.ramp_up(0.0, 1.0))]
    t = task(auxiliary=parts).eval()
    losses = t(x, y, progress=0.3)
    square = losses.logits.square().mean()
    torch.testing.assert_close(losses.auxiliary["length"], square)
    phi = sg.schedules.ramp_up(0.0, 1.0)(0.3)
    torch.testing.assert_close(losses.total, losses.supervised.sum() + (0.5 + phi) * square)
    with pytest.raises(ValueError, match="two auxiliary objectives are called 'length'"):
        task(auxiliary=[parts[0], parts[0]])
