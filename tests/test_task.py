"""The one place where losses are weighed and added."""

import copy

import pytest
import torch
import torch.nn.functional as F

import studygroup as sg
from helpers.networks import CASES, CLASSES
from helpers.tasks import Length, OwnLength, batch, norm_net, owners, task
from helpers.teachers import Learns, LearnsForAll
from studygroup.objectives import Ensemble, Imitation, Supervised
from studygroup.schedules import ramp_up
from studygroup.teachers import Averages, Gate, MeanOfOthers, RandomSubgroup


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
        with pytest.raises(ValueError, match=f"progress is {progress}; give a share of training"):
            task()(x, y, progress=progress)
    for wrong in (-1, task().group(x).logits.shape[-1]):
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
    with pytest.raises(ValueError, match="reduction='max'; use 'sum' or 'mean'"):
        task(reduction="max")
    with pytest.raises(ValueError, match="peers='both'; use 'joint', 'train' or 'eval'"):
        task(peers="both")
    length = Length(name="length")
    for twice in ([length, length], [Length(name="supervised")], [Length(name="a"), OwnLength(name="a")]):
        with pytest.raises(ValueError, match=f"two objectives are called '{twice[-1].name}'; give each"):
            task(*twice)
    with pytest.raises(ValueError, match="a gate over 3 branches cannot serve 4 students"):
        task(Ensemble(Gate(8, students=3)))
    group = task().group
    with pytest.raises(ValueError, match="names the students themselves"):
        sg.CollaborativeLearning(group, [Imitation(MeanOfOthers(of=group))])


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


def test_whatever_is_listened_to_and_shipped_stands_once_among_the_sources():
    averages = Averages(group := task().group)
    parts = [
        Supervised(),
        Imitation(MeanOfOthers(of=averages)),
        Imitation(MeanOfOthers(of=averages), name="again"),
        Imitation(MeanOfOthers(), name="own"),
    ]
    t = sg.CollaborativeLearning(group, parts, exports=averages)
    assert t.shipped is averages
    assert [one is averages for one in t.sources] == [True]
    assert len(t.teachers) == 3
    trained = [name for name, p in t.named_parameters() if p.requires_grad]
    assert trained == [f"group.{name}" for name, _ in group.named_parameters()]
