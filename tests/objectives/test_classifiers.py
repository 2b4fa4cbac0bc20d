"""L_mid against loops in float64, written from the intra-model paper's equations 5 to 7."""

import copy

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.intra_loops import (
    CLASSES,
    LABELS,
    LAYERS,
    ROWS,
    Net,
    assert_local,
    assert_losses,
    batch,
    cross_entropy,
    log_psi,
    mid_by_loop,
    plain,
    sizes,
)
from helpers.loops import CRITERIA, criterion, hard_by
from studygroup.objectives import (
    InnerClassifiers,
    Layer,
    LocalClassifiers,
    Objective,
    PullPush,
    SelfDistillation,
    Supervised,
)


def make(number: str | None = None) -> tuple[sg.CollaborativeLearning, LocalClassifiers]:
    """Only L_mid is on, of one layer or of all three."""
    torch.manual_seed(0)
    chosen = {layer: shape for layer, shape in sizes().items() if number in (None, layer.name[-1])}
    part = LocalClassifiers(chosen, classes=CLASSES, size=2)
    return plain(part, labels=False), part


def answers(heads, hidden):
    """z[i][n], one row after another."""
    return [[head(h[n : n + 1])[0] for n in range(ROWS)] for head, h in zip(heads, hidden, strict=True)]


def test_all_layers():
    task, part = make()
    x, y = batch()
    net, heads = task.group.export(0).train(), copy.deepcopy(part.heads)
    hidden = net.inner(x)
    z = [*answers(heads, hidden), list(net.fc.eval()(hidden[-1].mean((2, 3))))]
    task.group.model.bank[0].fc.eval()
    total, learning, expected = 0, [], []
    for i, number in enumerate(LAYERS):
        loss = sum(mid_by_loop(z, n, i) for n in range(ROWS)) / ROWS
        own = [*net.of_layer(number), *heads[i].parameters()]
        expected += torch.autograd.grad(loss, own, retain_graph=True)
        learning += [*task.group.model.bank[0].of_layer(number), *part.heads[i].parameters()]
        total = total + loss
    losses = task(x, y)
    losses.total.backward()
    assert_losses(losses, "mid", total)
    assert_local(task, learning, expected)


@pytest.mark.parametrize("number", LAYERS)
def test_a_layers_loss_trains_that_layer_and_its_classifier_alone(number):
    """Nothing at all elsewhere; inside, what an ordinary backward pass to these parameters gives."""
    task, part = make(number)
    x, y = batch()
    learning = [*task.group.model.bank[0].of_layer(number), *part.heads[0].parameters()]
    torch.manual_seed(5)
    task(x, y).total.backward()
    found = [p.grad for p in learning]
    assert_local(task, learning, found)
    task.zero_grad()

    torch.manual_seed(5)
    outputs = task.group(x, capture=part.capture)
    ((_, hidden),) = outputs.in_flight[part.layers[0]]
    logits = part.heads[0](hidden) / 2
    target = (outputs.logits[0].detach() / 2).softmax(-1)
    loss = 0.05 * nn.functional.cross_entropy(logits, y) + 0.05 * nn.functional.cross_entropy(logits, target)
    loss.backward(inputs=learning)
    assert_local(task, learning, found)
    assert all(gradient.abs().max() > 1e-9 for gradient in found)


def test_rows_that_stand_for_several_students_count_once():
    """Branches part behind the layer: it hears the mean of their answers."""
    torch.manual_seed(0)
    part = LocalClassifiers(dict(list(sizes().items())[:1]), classes=CLASSES, size=2)
    group = sg.StudyGroup(Net(), sg.routes.branches(["conv3", "bn3", "fc"], students=3))
    task = sg.CollaborativeLearning(group, [part]).double()
    for module in task.group.copies("fc"):
        module.eval()
    x, y = batch()
    value = task(x, y).auxiliary["mid"]
    nets = [task.group.export(student).train() for student in range(3)]
    hidden = nets[0].inner(x)[0]
    z_n = sum(net.fc.eval()(net.inner(x)[-1].mean((2, 3))) for net in nets) / 3
    z = [*answers(part.heads, [hidden]), list(z_n)]
    expected = sum(mid_by_loop(z, n, 0) for n in range(ROWS)) / ROWS
    torch.testing.assert_close(value, expected.detach(), atol=1e-12, rtol=1e-12)


def unnormed() -> nn.Module:
    """Rows know nothing of each other."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, CLASSES)
    )


def two_copies(*before: Objective) -> tuple[sg.StudyGroup, LocalClassifiers, sg.Losses]:
    """L_mid of a layer that two students have each for himself, after a backward pass on rows with owners."""
    torch.manual_seed(0)
    group = sg.StudyGroup(unnormed(), sg.routes.branches(["2", "5"], students=2))
    shapes = sg.objectives.shapes(group, torch.randn(2, 3, 6, 6), layers=[Layer(("2",), activated=True)])
    part = LocalClassifiers(shapes, classes=CLASSES)
    task = sg.CollaborativeLearning(group, [*before, part]).double()
    losses = task(*batch(), owner=[0, 1, 0, 1, 0])
    losses.total.backward()
    return group, part, losses


def test_a_copy_learns_from_its_own_rows_and_a_student_from_the_mean_of_his():
    """Branches whose rows have owners: each of two copies has its own mean, the classifier learns from both."""
    group, part, losses = two_copies()
    (x, _), head = batch(), copy.deepcopy(part.heads[0])
    total = 0
    for student, own in ((0, [0, 2, 4]), (1, [1, 3])):
        net = group.export(student)
        for n in own:
            z = [[head(net[:4](x[n : n + 1]))[0]], [net(x[n : n + 1])[0]]]
            heard = [[row[0]] * ROWS for row in z]
            total = total + mid_by_loop(heard, n, 0) / len(own)
        (gradient,) = torch.autograd.grad(total, net[2].weight, retain_graph=True)
        copied = group.copies("2")[student].weight.grad
        torch.testing.assert_close(copied, gradient, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(losses.auxiliary["mid"], total.detach(), atol=1e-12, rtol=1e-12)
    (gradient,) = torch.autograd.grad(total, head[-1].weight)
    torch.testing.assert_close(part.heads[0][-1].weight.grad, gradient, atol=1e-12, rtol=1e-12)
    assert group.model[0].weight.grad is None or not group.model[0].weight.grad.any()


@pytest.mark.filterwarnings("ignore::studygroup.EqualStudentsWarning")
@pytest.mark.parametrize("options", CRITERIA.values(), ids=CRITERIA)
def test_the_hard_loss_is_the_criterion_of_the_task(options):
    """Class weights, smoothing and missing labels count as in the network's own loss, student by student."""
    group, part, losses = two_copies(Supervised(criterion(**options)))
    (x, _), head = batch(), copy.deepcopy(part.heads[0])
    total = 0
    for student, seen in ((0, [0, 2, 4]), (1, [1, 3])):
        net = group.export(student)
        own = [head(net[:4](x[n : n + 1]))[0] for n in range(ROWS)]
        total = total + 0.05 * hard_by([z / 2 for z in own], seen, **options)
        labelled = [n for n in seen if LABELS[n] != options.get("ignore_index")]
        for n in labelled:
            target = [value.exp().detach() for value in log_psi(net(x[n : n + 1])[0], 2.0)]
            total = total + 0.05 * cross_entropy(target, log_psi(own[n], 2.0)) / len(labelled)
    torch.testing.assert_close(losses.auxiliary["mid"], total.detach(), atol=1e-12, rtol=1e-12)
    (gradient,) = torch.autograd.grad(total, head[-1].weight)
    torch.testing.assert_close(part.heads[0][-1].weight.grad, gradient, atol=1e-12, rtol=1e-12)


def test_another_size_of_pictures_is_told():
    class Pooled(nn.Sequential):
        """Takes pictures of any size."""

    torch.manual_seed(0)
    net = Pooled(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES))
    task = sg.recipes.intra(net, example=torch.randn(2, 3, 10, 10), mid=1.0, inner=["0"])
    y = torch.zeros(2, dtype=torch.long)
    assert task(torch.randn(2, 3, 10, 10), y).total.isfinite()
    with pytest.raises(
        ValueError, match="classifier of '0' was built for an output of 8 x 8, pooled to 64 numbers"
    ):
        task(torch.randn(2, 3, 16, 16), y)


def test_the_papers_defaults():
    part = LocalClassifiers(sizes(), classes=CLASSES)
    assert (part.alpha, part.beta, part.temperature, part.weight(0.3)) == (0.05, 0.05, 2.0, 1.0)
    assert [type(module).__name__ for module in part.heads[0]] == [
        "MaxPool2d",
        "Conv2d",
        "_Flatten",
        "Linear",
    ]
    assert part.heads[0][1].kernel_size == (3, 3)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Layer(("a",)), (6, 7, 5)),
        (Layer(("a",)), (100, 1, 1)),
        (Layer(("a",)), (3, 9, 10, 11)),
        (Layer(("a",)), (3, 9)),
        (Layer(("a",)), (12,)),
        (Layer(("a",), tokens=True), (9, 12)),
        (Layer(("a",), tokens=True), (2, 100)),
    ],
)
def test_every_kind_of_output_has_a_classifier(layer, shape):
    """Maps of one to three dimensions, vectors, tokens; filters are bounded."""
    head = LocalClassifiers({layer: shape}, classes=CLASSES, size=4, channels=64).heads[0]
    assert head(torch.randn(2, *shape)).shape == (2, CLASSES)
    convolutions = [m for m in head if isinstance(m, nn.Conv1d | nn.Conv2d | nn.Conv3d)]
    assert all(convolution.out_channels <= 64 for convolution in convolutions)
    assert len(convolutions) == (len(shape) > 1)


def test_sequences_may_differ_in_length_from_batch_to_batch():
    layer = Layer(("a",), tokens=True)
    head = LocalClassifiers({layer: (9, 12)}, classes=CLASSES).heads[0]
    assert head(torch.randn(2, 33, 12)).shape == (2, CLASSES)


def test_under_autocast_targets_and_losses_are_in_single_precision():
    """What is heard is the mean of the answers as they come, not rounded once more."""
    torch.manual_seed(0)
    part = LocalClassifiers(sizes(), classes=CLASSES, size=2)
    group = sg.StudyGroup(Net(), sg.routes.hierarchical_dropout(["fc.2", "fc.5"]))
    task = sg.CollaborativeLearning(group, [part])
    x, y = batch(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.manual_seed(3)
        losses = task(x, y)
        losses.total.backward()
        torch.manual_seed(3)
        outputs = task.group(x, capture=part.capture)
        z = [
            head(outputs.in_flight[layer][0][1]) for head, layer in zip(part.heads, part.layers, strict=True)
        ]
    assert z[0].dtype == torch.bfloat16
    assert losses.auxiliary["mid"].dtype == losses.total.dtype == torch.float32
    z = [*(answer.double() for answer in z), outputs.logits.double().mean(0)]
    expected = sum(mid_by_loop(z, n, i) for n in range(ROWS) for i in range(3)) / ROWS
    torch.testing.assert_close(losses.auxiliary["mid"], expected.detach().float(), atol=2e-7, rtol=1e-6)
    assert all(p.grad.isfinite().all() for p in task.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LocalClassifiers({Layer(("0",)): (4, 8, 8)}, classes=3, size=0), "size is 0"),
        (lambda: LocalClassifiers({Layer(("0",)): (4, 8, 8)}, classes=3, channels=0), "channels is 0"),
        (lambda: LocalClassifiers({Layer(("0",)): (4, 8, 8)}, classes=0), "classes is 0"),
        (lambda: InnerClassifiers({"0": 4}, classes=0, weight=1.0), "classes is 0"),
        (lambda: InnerClassifiers({"0": 0}, classes=3, weight=1.0), "the width of layer '0' is 0"),
        (lambda: SelfDistillation({"0": nn.Identity()}, features=0, classes=3), "features is 0"),
        (lambda: SelfDistillation({"0": nn.Identity()}, features=4, classes=0), "classes is 0"),
        (
            lambda: PullPush({Layer(("0",)): (4, 8, 8)}, classes=1),
            "classes is 1; give a whole number, at least 2",
        ),
        (lambda: PullPush({Layer(("0",)): (4, 8, 8)}, classes=3, channels=0), "channels is 0"),
    ],
)
def test_nothing_to_classify_or_to_look_with_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
