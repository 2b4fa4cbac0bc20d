"""The one place where losses are weighed and added, and how those answer whom a row's owner consults."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import studygroup as sg
from helpers.networks import CASES, CLASSES
from studygroup.objectives import Ensemble, Imitation, InnerClassifiers, Objective, Supervised
from studygroup.schedules import ramp_up
from studygroup.teachers import Averages, Gate, MeanOfOthers, OneTeacher, PeerAttention, RandomSubgroup


def norm_net() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, CLASSES)
    )


def task(*further: Objective, labels: float = 1.0, **options) -> sg.CollaborativeLearning:
    """Four students who learn from the labels, and from what is further given."""
    torch.manual_seed(0)
    routes = sg.routes.random([("0", "1"), "4"], students=4, modules=2, seed=0)
    group = sg.StudyGroup(norm_net(), routes, init=norm_net)
    return sg.CollaborativeLearning(group, [Supervised(weight=labels), *further], **options)


def batch(rows: int = 16):
    draw = torch.Generator().manual_seed(7)
    return torch.randn(rows, 6, generator=draw), torch.randint(CLASSES, (rows,), generator=draw)


def owners(rows: int = 16):
    return torch.arange(rows) % 4


class Learns(MeanOfOthers):
    """Multiplies the mean of the others by what it learns."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def weights(self, answers, consults):
        return self.scale * super().weights(answers, consults)


class LearnsForAll(OneTeacher):
    """Multiplies the mean of all by what it learns."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def weights(self, answers, consults):
        return self.scale * super().weights(answers, consults)


def test_labels_alone_are_plain_cross_entropy_summed_over_students():
    x, y = batch()
    t = task().eval()
    losses = t(x, y)
    expected = [F.cross_entropy(t.group.export(k).eval()(x), y) for k in range(4)]
    torch.testing.assert_close(losses.supervised, torch.stack(expected))
    torch.testing.assert_close(losses.total, sum(expected))
    assert not losses.imitation.any()
    assert losses.auxiliary == {}
    assert (t.shipped, list(t.teachers), list(t.sources)) == (t.group, [], [])


def test_weights_and_reduction():
    x, y = batch()

    def made(reduction: str) -> sg.CollaborativeLearning:
        imitation = Imitation(MeanOfOthers(), temperature=2.0, weight=ramp_up(0.0, 1.0))
        return task(imitation, labels=0.5, reduction=reduction).eval()

    summed = made("sum")(x, y, progress=0.5)
    phi = ramp_up(0.0, 1.0)(0.5)
    torch.testing.assert_close(summed.total, (0.5 * summed.supervised + phi * summed.imitation).sum())
    mean = made("mean")(x, y, progress=0.5)
    torch.testing.assert_close(mean.total, summed.total / 4)
    assert made("sum").weights(0.5) == {"supervised": 0.5, "imitation": phi}
    assert made("sum").weights(1.0) == {"supervised": 0.5, "imitation": 1.0}


class Length(Objective):
    """Mean square of the logits, one for all."""

    def loss(self, step):
        return step.outputs.logits.square().mean()


class OwnLength(Objective):
    """The same of each student."""

    def loss(self, step):
        return step.outputs.logits.square().mean((1, 2))


def test_objectives_are_added_by_name_and_those_of_students_are_reduced():
    """One that has a value for all is not divided by the number of students."""
    x, y = batch()
    parts = [
        Length(name="length", weight=0.5),
        Length(name="late", weight=ramp_up(0.0, 1.0)),
        OwnLength(name="own", weight=2.0),
    ]
    phi = ramp_up(0.0, 1.0)(0.3)
    for reduction, students in (("sum", 1), ("mean", 4)):
        t = task(*parts, reduction=reduction).eval()
        losses = t(x, y, progress=0.3)
        square = losses.logits.square()
        assert list(losses.values) == ["supervised", "length", "late", "own"]
        torch.testing.assert_close(losses.values["own"], square.mean((1, 2)))
        torch.testing.assert_close(losses.auxiliary["own"], square.mean((1, 2)).sum())
        torch.testing.assert_close(losses.auxiliary["length"], square.mean())
        assert list(losses.auxiliary) == ["length", "late", "own"]
        of_students = losses.supervised + 2.0 * losses.values["own"]
        expected = of_students.sum() / students + (0.5 + phi) * square.mean()
        torch.testing.assert_close(losses.total, expected)


def test_without_labels_there_is_no_supervised_loss():
    x, y = batch()
    group = task().group
    losses = sg.CollaborativeLearning(group, [OwnLength(name="own")]).eval()(x, y)
    assert losses.supervised.tolist() == losses.imitation.tolist() == [0.0] * 4
    torch.testing.assert_close(losses.total, losses.auxiliary["own"])


def test_several_imitations_in_one_task():
    """Each by its own teacher, temperature and weight; one teacher is asked once however many listen to it."""
    x, y = batch()
    calls = []

    class Counted(MeanOfOthers):
        def logits(self, answers, y):
            calls.append(None)
            return super().logits(answers, y)

    teacher = Counted()
    t = task(
        Imitation(teacher, temperature=2.0, weight=0.5),
        Imitation(teacher, temperature=3.0, weight=0.25, aggregate="divergences", name="pairs"),
        Imitation(MeanOfOthers(include_self=True), weight=2.0, divergence="cross_entropy", name="all"),
    ).eval()
    assert len(t.teachers) == 2
    losses = t(x, y)
    assert len(calls) == 1
    z = losses.logits
    for k in range(4):
        others = [j for j in range(4) if j != k]
        q = (sum(z[j] for j in others) / 3 / 2).softmax(-1)
        first = (q * (q.log() - (z[k] / 2).log_softmax(-1))).sum(-1).mean()
        torch.testing.assert_close(losses.imitation[k], first)
        p = [(z[j] / 3).softmax(-1) for j in others]
        second = sum((r * (r.log() - (z[k] / 3).log_softmax(-1))).sum(-1).mean() for r in p) / 3
        torch.testing.assert_close(losses.values["pairs"][k], second)
        third = -(z.mean(0).softmax(-1) * z[k].log_softmax(-1)).sum(-1).mean()
        torch.testing.assert_close(losses.values["all"][k], third)
    expected = losses.supervised + 0.5 * losses.imitation + 0.25 * losses.values["pairs"]
    torch.testing.assert_close(losses.total, (expected + 2 * losses.values["all"]).sum())


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
        t.group(x)  # the dry run
        seen = []
        t.group.model[1].register_forward_hook(
            lambda module, *_, seen=seen: seen.append((module.training, module.bank[0].track_running_stats))
        )
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
    losses = task(Imitation(MeanOfOthers())).train()(x, y, owner=[0, 0, 1, 1, 3])
    assert losses.supervised[2] == 0
    assert losses.imitation[2] == 0
    losses.total.backward()


def test_targets_are_constants_unless_told_otherwise():
    x, y = batch()
    gradients = []
    for moves in (False, True):
        t = task(Imitation(MeanOfOthers(), moves_teachers=moves), labels=0.0).eval()
        t(x, y).total.backward()
        gradients.append(t.group.model[0].bank[0].weight.grad)
    assert not torch.allclose(*gradients)


def test_the_step_is_kept_in_the_state_and_decides_the_draws():
    x, y = batch()
    first = task(Imitation(RandomSubgroup(0.25))).train()
    first(x, y, owner=owners())
    second = task(Imitation(RandomSubgroup(0.25))).train()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert second.step == 1
    torch.manual_seed(0)
    a = first(x, y, owner=owners())
    torch.manual_seed(0)
    b = second(x, y, owner=owners())
    assert torch.equal(a.total, b.total)
    with torch.no_grad():
        assert first.eval()(x, y).total is not None
    assert first.step == 2  # evaluation is no step


def test_a_mapping_with_a_mask_trains():
    case = CASES["bert"]
    torch.manual_seed(0)
    routes = sg.routes.random(case.blocks, students=4, modules=2, seed=0)
    group = sg.StudyGroup(case.build(), routes, init=case.build, share_head=True)
    t = sg.CollaborativeLearning(group, [Supervised(), Imitation(RandomSubgroup(0.25))])
    losses = t(case.inputs(8), torch.arange(8) % CLASSES, owner=torch.arange(8) % 4)
    losses.total.backward()
    assert losses.total.isfinite()
    assert [n for n, p in t.named_parameters() if p.grad is None] == []


def test_losses_are_added_in_single_precision_under_autocast():
    x, y = batch()
    results = []
    for enabled in (False, True):
        t = task(Imitation(RandomSubgroup(0.5), temperature=3.0)).train()
        torch.manual_seed(3)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            losses = t(x, y, owner=owners())
        losses.total.backward()
        assert losses.total.dtype == losses.logits.dtype == torch.float32
        results.append((losses.total, t.group.model[0].bank[0].weight.grad))
    torch.testing.assert_close(*(total for total, _ in results), atol=0.02, rtol=0.02)
    torch.testing.assert_close(*(gradient for _, gradient in results), atol=0.02, rtol=0.1)
    assert not torch.equal(results[0][0], results[1][0])  # autocast was on


def test_the_gate_learns_under_autocast():
    x, y = batch()
    torch.manual_seed(0)
    t = sg.recipes.one(norm_net(), layers=["4"], example=x, init=norm_net)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        t(x, y).total.backward()
    assert t.teachers[0].linear.weight.grad.abs().sum() > 0


def test_what_does_not_fit_together_is_a_clear_error(unchecked):
    x, y = batch()
    with pytest.raises(ValueError, match=r"labels of shape \(15,\).* for 16 rows"):
        task()(x, y[:15])
    with pytest.raises(ValueError, match=r"labels of shape \(\) for 16 rows"):
        task()(x, y[0])
    with pytest.raises(ValueError, match=r"labels of shape \(16, 3\)"):
        task()(x, torch.nn.functional.one_hot(y % 3))
    with pytest.raises(ValueError, match=r"torch\.int32, .* of torch\.int64"):
        task()(x, y.int())
    for progress in (-0.1, 5, float("nan")):
        with pytest.raises(ValueError, match=f"progress is {progress}; hand in the share"):
            task()(x, y, progress=progress)
    for wrong in (-100, task().group(x).logits.shape[-1]):
        with pytest.raises(ValueError, match=f"label {wrong} is not one of 0 to"):
            task()(x, torch.cat([y[:-1], torch.tensor([wrong])]))
    with pytest.raises(ValueError, match="owner 4 is not one of students 0 to 3"):
        task()(x, y, owner=[4] * 16)
    with pytest.raises(ValueError, match="owner -1 is not one of students 0 to 3"):
        task()(x, y, owner=[-1] * 16)
    with pytest.raises(ValueError, match="one student number a row"):
        task()(x, y, owner=[0, 1])
    with pytest.raises(ValueError, match=r"owner is torch\.float32 of shape \(16,\)"):
        task()(x, y, owner=torch.zeros(16))
    with pytest.raises(ValueError, match="reduction='max'; use one of 'sum', 'mean'"):
        task(reduction="max")
    with pytest.raises(ValueError, match="peers='both'; use one of 'joint', 'train', 'eval'"):
        task(peers="both")
    length = Length(name="length")
    for twice in ([length, length], [Length(name="supervised")], [Length(name="a"), OwnLength(name="a")]):
        with pytest.raises(ValueError, match=f"two objectives are called '{twice[-1].name}'; give each"):
            task(*twice)
    with pytest.raises(ValueError, match="a gate over 3 branches cannot serve 4 students"):
        task(Ensemble(Gate(8, students=3)))


def test_a_teacher_that_would_learn_nothing_is_an_error():
    with pytest.raises(ValueError, match=r"Learns learns, and targets are constants.* moves_teachers=True"):
        task(Imitation(Learns()))
    with pytest.raises(ValueError, match=r"LearnsForAll learns, .* objectives\.Ensemble"):
        task(Imitation(LearnsForAll()))
    task(Imitation(Learns(), moves_teachers=True))
    task(Imitation(one := LearnsForAll()), Ensemble(one))
    for parameter in (constant := Learns()).parameters():
        parameter.requires_grad_(False)
    task(Imitation(constant))


def test_the_ensembles_weight_is_a_function_of_progress():
    x, y = batch()
    teacher = LearnsForAll()
    ensemble = Ensemble(teacher, weight=ramp_up(0.0, 1.0))
    t = task(Imitation(teacher), ensemble, reduction="mean").eval()
    losses = t(x, y, progress=0.5)
    own = (losses.supervised + losses.imitation).mean()
    phi = ramp_up(0.0, 1.0)(0.5)
    torch.testing.assert_close(losses.auxiliary["ensemble"], F.cross_entropy(losses.logits.mean(0), y))
    torch.testing.assert_close(losses.total, own + phi * losses.auxiliary["ensemble"])


def smooth() -> nn.Module:
    """Rows know nothing of each other, and nothing is drawn."""
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, CLASSES))


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


def test_turns_go_through_steps():
    x, y = batch()
    t = task(Imitation(MeanOfOthers()), in_turn=True).train()
    assert t.turns == 4
    with pytest.raises(ValueError, match=r"go through task\.steps"):
        t(x, y)
    with pytest.raises(ValueError, match="leave owner out"):
        next(t.steps(x, y, owner=owners()))
    assert t.eval()(x, y).total.isfinite()
    with pytest.raises(ValueError, match="Learns learns, and in_turn=True"):
        task(Imitation(Learns(), moves_teachers=True), in_turn=True)
    with pytest.raises(ValueError, match="rows are sub-sets"):
        task(in_turn=True, rows=sg.Subsets())
    joint = task(Imitation(RandomSubgroup(0.5))).eval()
    with torch.no_grad():
        (losses,) = joint.steps(x, y, owner=owners())
        assert torch.equal(losses.total, joint(x, y, owner=owners()).total)
    assert joint.turns == 1


def in_turn(group: sg.Group) -> sg.CollaborativeLearning:
    return sg.CollaborativeLearning(group, [Supervised(), Imitation(MeanOfOthers())], in_turn=True).double()


def test_a_student_in_turn_moves_its_own_parameters_and_the_shared_ones():
    torch.manual_seed(0)
    group = sg.StudyGroup(smooth(), sg.routes.tree({"2": [0, 0, 1], "4": [0, 1, 2]}))
    group.model[0].bias.requires_grad_(False)  # frozen by the user, and so it stays
    t, (x, y) = in_turn(group), batch(3)
    moved = []
    for losses in t.steps(x.double(), y):
        t.zero_grad()
        losses.total.backward()
        moved.append({name for name, p in group.named_parameters() if p.grad is not None})
    modules = [("2.bank.0", "4.bank.0"), ("2.bank.0", "4.bank.1"), ("2.bank.1", "4.bank.2")]
    for found, own in zip(moved, modules, strict=True):
        kinds = {f"model.{layer}.{kind}" for layer in own for kind in ("weight", "bias")}
        assert found == {"model.0.weight", *kinds}
    assert [name for name, p in group.named_parameters() if not p.requires_grad] == ["model.0.bias"]


def test_after_an_error_in_turn_all_parameters_learn_again():
    t = in_turn(sg.Peers([smooth(), smooth()]))
    _, y = batch(3)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        next(t.steps(torch.randn(3, 5).double(), y))
    assert all(p.requires_grad for p in t.parameters())


def test_what_teachers_have_to_log_is_told_by_name():
    x, y = batch(6)
    t = smooth_task("attention")
    assert t.figures() == {}
    t(x.double(), y)
    assert list(t.figures()) == ["entropy"]
    assert t.figures()["entropy"] == t.teachers[0].entropy


def test_whatever_is_listened_to_and_shipped_stands_once_among_the_sources():
    averages = Averages(group := task().group)
    parts = [
        Supervised(),
        Imitation(MeanOfOthers(of=averages)),
        Imitation(MeanOfOthers(of=averages), name="again"),
        Imitation(MeanOfOthers(of=group), name="own"),
    ]
    t = sg.CollaborativeLearning(group, parts, exports=averages)
    assert t.shipped is averages
    assert [one is averages for one in t.sources] == [True]
    assert len(t.teachers) == 3
    trained = [name for name, p in t.named_parameters() if p.requires_grad]
    assert trained == [f"group.{name}" for name, _ in group.named_parameters()]
