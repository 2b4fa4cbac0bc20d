"""What labels are: the plain losses of torch, and imitation against loops."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import studygroup as sg
from studygroup.objectives import BinaryCrossEntropy, CrossEntropy, Imitation, SquaredError, Supervised
from studygroup.objectives.criteria import Comparison
from studygroup.teachers import MeanOfOthers

STUDENTS, ROWS, CLASSES = 3, 6, 4


class Dense(nn.Module):
    """Maps (rows, 2, 5, 5) to logits of classes at each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, CLASSES, 3, padding=1)

    def forward(self, x):
        return self.conv(x)


class Tokens(nn.Module):
    """Maps (rows, 7, 2) to logits (rows, 7, classes)."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, CLASSES)

    def forward(self, x):
        return self.linear(x)


def flat() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, CLASSES))


def x_of(*shape: int) -> torch.Tensor:
    return torch.randn(ROWS, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def task_of(build, *objectives) -> sg.CollaborativeLearning:
    torch.manual_seed(0)
    group = sg.StudyGroup(build(), sg.routes.independent(students=STUDENTS), init=build)
    return sg.CollaborativeLearning(group, objectives).double().train()


INDEX = torch.tensor([0, 1, 2, 3, 1, 1])
DRAW = torch.Generator().manual_seed(1)
SOFT = torch.rand(ROWS, CLASSES, generator=DRAW, dtype=torch.float64).softmax(-1)
PIXELS = torch.randint(0, CLASSES, (ROWS, 5, 5), generator=DRAW).masked_fill(
    torch.rand(ROWS, 5, 5, generator=DRAW) < 0.3, 255
)
WORDS = torch.randint(0, CLASSES, (ROWS, 7), generator=DRAW).masked_fill(
    torch.rand(ROWS, 7, generator=DRAW) < 0.3, -100
)
MANY = (torch.rand(ROWS, CLASSES, generator=DRAW) < 0.5).double()
REAL = torch.randn(ROWS, CLASSES, generator=DRAW, dtype=torch.float64)
WEIGHT = torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=torch.float64)

PLAIN = {
    "indices": (flat, (5,), INDEX, CrossEntropy(), nn.CrossEntropyLoss()),
    "soft": (flat, (5,), SOFT, CrossEntropy(), nn.CrossEntropyLoss()),
    "smooth": (
        flat,
        (5,),
        INDEX,
        CrossEntropy(label_smoothing=0.1),
        nn.CrossEntropyLoss(label_smoothing=0.1),
    ),
    "weights": (flat, (5,), INDEX, CrossEntropy(WEIGHT), nn.CrossEntropyLoss(WEIGHT)),
    "ignored": (flat, (5,), INDEX, CrossEntropy(ignore_index=1), nn.CrossEntropyLoss(ignore_index=1)),
    "smooth weights": (
        flat,
        (5,),
        INDEX,
        CrossEntropy(WEIGHT, ignore_index=1, label_smoothing=0.2),
        nn.CrossEntropyLoss(WEIGHT, ignore_index=1, label_smoothing=0.2),
    ),
    "a class of weight 0": (
        flat,
        (5,),
        INDEX,
        CrossEntropy(WEIGHT * torch.tensor([0, 1, 1, 1]), label_smoothing=0.2),
        nn.CrossEntropyLoss(WEIGHT * torch.tensor([0, 1, 1, 1]), label_smoothing=0.2),
    ),
    "dense": (
        Dense,
        (2, 5, 5),
        PIXELS,
        CrossEntropy(WEIGHT, ignore_index=255),
        nn.CrossEntropyLoss(WEIGHT, ignore_index=255),
    ),
    "multi-label": (flat, (5,), MANY, BinaryCrossEntropy(), nn.BCEWithLogitsLoss()),
    "pos_weight": (flat, (5,), MANY, BinaryCrossEntropy(WEIGHT), nn.BCEWithLogitsLoss(pos_weight=WEIGHT)),
    "real": (flat, (5,), REAL, SquaredError(), nn.MSELoss()),
}


@pytest.mark.parametrize("name", PLAIN)
def test_each_student_has_the_loss_that_torch_gives_its_export(name):
    build, shape, y, criterion, plain = PLAIN[name]
    task = task_of(build, Supervised(criterion))
    x = x_of(*shape)
    losses = task(x, y)
    losses.total.backward()
    for student in range(STUDENTS):
        net = task.group.export(student)
        expected = plain(net(x), y)
        torch.testing.assert_close(losses.supervised[student], expected)
        expected.backward()
        own = task.group.parameters_of(student)
        for parameter, exported in zip(own, net.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, exported.grad)


@pytest.mark.parametrize("name", PLAIN)
def test_rows_with_owners_are_averaged_alone(name):
    build, shape, y, criterion, plain = PLAIN[name]
    task = task_of(build, Supervised(criterion))
    x, owner = x_of(*shape), [0, 0, 2, 2, 0, 2]
    losses = task(x, y, owner=owner)
    for student in (0, 2):
        mine = torch.tensor(owner) == student
        torch.testing.assert_close(
            losses.supervised[student], plain(task.group.export(student)(x[mine]), y[mine])
        )
    assert losses.supervised[1] == 0


def test_tokens_have_classes_last():
    task = task_of(
        Tokens, Supervised(CrossEntropy(class_axis=-1)), Imitation(MeanOfOthers(), temperature=2.0)
    )
    x = x_of(7, 2)
    losses = task(x, WORDS)
    nets = [task.group.export(student)(x) for student in range(STUDENTS)]
    there = WORDS != -100
    for student, logits in enumerate(nets):
        expected = F.cross_entropy(logits.movedim(-1, 1), WORDS)
        torch.testing.assert_close(losses.supervised[student], expected)
        others = sum(net for k, net in enumerate(nets) if k != student) / (STUDENTS - 1)
        q, log_p = (others / 2).softmax(-1), (logits / 2).log_softmax(-1)
        each = (q * (q.log() - log_p)).sum(-1)
        torch.testing.assert_close(losses.imitation[student], each[there].mean())


@pytest.mark.parametrize("aggregate", ["logits", "probabilities", "divergences"])
def test_imitation_of_pixels_leaves_out_those_without_a_label(aggregate):
    imitation = Imitation(MeanOfOthers(), temperature=3.0, aggregate=aggregate, scale_by_t2=True)
    task = task_of(Dense, Supervised(CrossEntropy(ignore_index=255)), imitation)
    x = x_of(2, 5, 5)
    losses = task(x, PIXELS)
    nets = [task.group.export(student)(x) / 3 for student in range(STUDENTS)]
    there = PIXELS != 255
    for student, logits in enumerate(nets):
        others = [net for k, net in enumerate(nets) if k != student]
        if aggregate == "logits":
            targets = [(sum(others) / len(others)).softmax(1)]
        elif aggregate == "probabilities":
            targets = [sum(net.softmax(1) for net in others) / len(others)]
        else:
            targets = [net.softmax(1) for net in others]
        each = [(q * (q.log() - logits.log_softmax(1))).sum(1)[there].mean() for q in targets]
        torch.testing.assert_close(losses.imitation[student], 9 * sum(each) / len(each))


@pytest.mark.parametrize("aggregate", ["logits", "probabilities", "divergences"])
def test_several_labels_are_imitated_as_bernoulli_distributions(aggregate):
    imitation = Imitation(MeanOfOthers(), temperature=2.0, aggregate=aggregate)
    task = task_of(flat, Supervised(BinaryCrossEntropy()), imitation)
    x = x_of(5)
    y = MANY.clone()
    y[0, 1] = torch.nan
    losses = task(x, y)
    nets = [task.group.export(student)(x) / 2 for student in range(STUDENTS)]
    there = ~y.isnan()

    def bernoulli(q, p):
        return q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()

    for student, logits in enumerate(nets):
        others = [net for k, net in enumerate(nets) if k != student]
        targets = {
            "logits": [(sum(others) / 2).sigmoid()],
            "probabilities": [sum(net.sigmoid() for net in others) / 2],
            "divergences": [net.sigmoid() for net in others],
        }[aggregate]
        each = [bernoulli(q, logits.sigmoid())[there].mean() for q in targets]
        torch.testing.assert_close(losses.imitation[student], sum(each) / len(each))


@pytest.mark.parametrize("aggregate", ["logits", "divergences"])
def test_real_numbers_are_imitated_by_their_distance(aggregate):
    imitation = Imitation(MeanOfOthers(), aggregate=aggregate, moves_teachers=True)
    task = task_of(flat, Supervised(SquaredError()), imitation)
    x = x_of(5)
    losses = task(x, REAL)
    losses.imitation.sum().backward()
    nets = [task.group.export(student) for student in range(STUDENTS)]
    said = [net(x) for net in nets]
    total = 0
    for student, own in enumerate(said):
        others = [one for k, one in enumerate(said) if k != student]
        means = [sum(others) / 2] if aggregate == "logits" else others
        expected = sum((mean - own).square().mean() for mean in means) / len(means)
        torch.testing.assert_close(losses.imitation[student], expected)
        total = total + expected
    total.backward()
    for student, net in enumerate(nets):
        for parameter, exported in zip(task.group.parameters_of(student), net.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, exported.grad)


def test_who_listens_to_nobody_has_no_distance():
    subgroup = sg.teachers.RandomSubgroup(0.0)
    task = task_of(flat, Supervised(SquaredError()), Imitation(subgroup))
    assert task(x_of(5), REAL).imitation.tolist() == [0, 0, 0]


WRONG = {
    "text of a number": (CrossEntropy(), INDEX.float(), "labels of shape"),
    "signed bytes": (CrossEntropy(), INDEX.to(torch.int8), "torch.int8"),
    "beyond the classes": (CrossEntropy(), torch.full((ROWS,), CLASSES), "label 4 is not one of 0 to 3"),
    "several": (CrossEntropy(), MANY.long(), "labels of shape"),
    "one index for several labels": (BinaryCrossEntropy(), INDEX, "one number for each"),
    "beyond one": (BinaryCrossEntropy(), MANY + 1, "outside \\[0, 1\\]"),
    "one number for several": (SquaredError(), REAL[:, 0], "one number for each"),
}


@pytest.mark.parametrize("name", WRONG)
def test_labels_that_are_none_are_refused(name):
    criterion, y, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        task_of(flat, Supervised(criterion))(x_of(5), y)


def test_objectives_that_need_one_class_a_row_refuse_others():
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, CLASSES)).double()
    x = x_of(2, 5, 5)
    group = sg.StudyGroup(net, sg.routes.independent(students=1))
    shapes = sg.objectives.shapes(group, x, layers=[sg.objectives.Layer(("0",))])
    local = sg.objectives.LocalClassifiers(shapes, CLASSES)
    task = sg.CollaborativeLearning(group, [Supervised(BinaryCrossEntropy()), local]).double()
    with pytest.raises(ValueError, match="LocalClassifiers learns from one class a row"):
        task(x, MANY)
    soft = sg.CollaborativeLearning(group, [Supervised(), local]).double()
    one_hot = F.one_hot(INDEX, CLASSES).double()
    torch.testing.assert_close(soft(x, one_hot).auxiliary["mid"], soft(x, INDEX).auxiliary["mid"])


def test_teachers_that_know_labels_refuse_others():
    task = task_of(flat, Supervised(), Imitation(sg.teachers.MinLogit()))
    with pytest.raises(ValueError, match="need one class index a row"):
        task(x_of(5), SOFT)


def test_class_weights_may_be_zero_and_must_be_numbers(unchecked):
    for made in (CrossEntropy(torch.tensor([0.0, 1.0])), BinaryCrossEntropy(torch.tensor([0.0, 1.0]))):
        assert 0.0 in next(made.buffers()).tolist()
    for wrong in ([0.5, 1.0], torch.tensor([1, 2])):
        with pytest.raises(ValueError, match="give a tensor of one floating-point number for each"):
            CrossEntropy(wrong)
    for wrong in ([-1.0, 1.0], [float("nan"), 1.0], [float("inf"), 1.0]):
        with pytest.raises(ValueError, match="give finite ones, at least 0"):
            BinaryCrossEntropy(torch.tensor(wrong))


@pytest.mark.parametrize("criterion", [CrossEntropy(), BinaryCrossEntropy(), SquaredError()])
def test_labels_come_in_the_precision_of_the_answers(criterion):
    answers = x_of(CLASSES).float().expand(STUDENTS, -1, -1)
    losses = [
        criterion.loss(criterion.spread(answers), SOFT.to(kind))[0] for kind in (torch.float32, torch.float64)
    ]
    assert [loss.dtype for loss in losses] == [torch.float32] * 2
    torch.testing.assert_close(*losses)


def test_present_and_absent_may_be_whole_numbers():
    spread = BinaryCrossEntropy().spread(x_of(CLASSES).expand(STUDENTS, -1, -1))
    losses = [BinaryCrossEntropy().loss(spread, MANY.to(kind))[0] for kind in (torch.int64, torch.float64)]
    assert torch.equal(*losses)


@pytest.mark.parametrize("kind", [torch.int64, torch.uint8])
def test_a_class_of_a_high_number_is_a_label(kind):
    """In unsigned bytes 156 is what -100 wraps to."""
    z = torch.randn(1, 3, 200, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([156, 0, 199], dtype=kind)
    assert CrossEntropy().labelled(y) is None
    loss, counts = CrossEntropy().loss(z, y)
    assert counts is None
    expected = [-z[0, n].log_softmax(-1)[int(label)].item() for n, label in enumerate(y)]
    assert loss[0].tolist() == pytest.approx(expected)
    assert CrossEntropy(ignore_index=255).labelled(y.new_tensor([255, 0])).tolist() == [False, True]


@pytest.mark.parametrize("aggregate", ["logits", "divergences"])
def test_distances_of_real_numbers_with_weights_for_each_row(aggregate):
    """(Σ_j w_nkj z_j − z_k)², or Σ_j w_nkj (z_j − z_k)²; 0 on rows on which a student listens to nobody."""
    draw = torch.Generator().manual_seed(2)
    z = torch.randn(STUDENTS, ROWS, CLASSES, generator=draw, dtype=torch.float64)
    weights = torch.rand(ROWS, STUDENTS, STUDENTS, generator=draw, dtype=torch.float64)
    weights[1, 2] = 0
    rule = SquaredError()
    found = rule.imitation(rule.spread(z), rule.spread(z), weights, Comparison(aggregate=aggregate))
    for k, n, c in itertools.product(range(STUDENTS), range(ROWS), range(CLASSES)):
        w, said, own = weights[n, k].tolist(), z[:, n, c].tolist(), float(z[k, n, c])
        if aggregate == "logits":
            expected = (sum(a * b for a, b in zip(w, said, strict=True)) - own) ** 2 if any(w) else 0.0
        else:
            expected = sum(a * (b - own) ** 2 for a, b in zip(w, said, strict=True))
        assert found[k, n, c].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("y", [INDEX, SOFT])
def test_class_weights_in_single_precision_weigh_answers_in_double(y):
    spread = x_of(CLASSES).expand(STUDENTS, -1, -1)
    loss, _ = CrossEntropy(WEIGHT.float()).loss(spread, y)
    expected = F.cross_entropy(x_of(CLASSES), y, weight=WEIGHT, reduction="none")
    assert loss.dtype == torch.float64
    torch.testing.assert_close(loss, expected.expand(STUDENTS, -1))
