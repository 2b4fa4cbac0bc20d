"""L_pull-push against loops in float64, written from the intra-model paper's equations 8 and 9."""

import copy

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.intra_loops import (
    CLASSES,
    LABELS,
    LAYERS,
    Net,
    assert_local,
    assert_losses,
    batch,
    deviations,
    distance,
    linear,
    one_hot,
    plain,
    pull_push_of,
    similarity,
    sizes,
)
from helpers.parts import objective
from studygroup.objectives import Layer, PullPush, Supervised


def make(number: str | None = None, **options) -> tuple[sg.CollaborativeLearning, PullPush]:
    torch.manual_seed(0)
    chosen = {layer: shape for layer, shape in sizes().items() if number in (None, layer.name[-1])}
    part = PullPush(chosen, classes=CLASSES, **options)
    return plain(part, labels=False), part


def test_all_layers():
    task, part = make(pull=(0.2, 0.9), push=(0.7, 0.1))
    x, y = batch()
    net, projections = task.group.export(0).train(), copy.deepcopy(part.projections)
    labels, pictures = similarity(one_hot(LABELS)), similarity(deviations(x))
    total, learning, expected = 0, [], []
    for i, (number, hidden) in enumerate(zip(LAYERS, net.inner(x), strict=True)):
        own = similarity(deviations(projections[i](hidden)))
        loss = linear(i, 0.2, 0.9) * distance(own, labels) - linear(i, 0.7, 0.1) * distance(own, pictures)
        trained = [*net.of_layer(number), *projections[i].parameters()]
        expected += torch.autograd.grad(loss, trained, retain_graph=True)
        learning += [*task.group.model.bank[0].of_layer(number), *part.projections[i].parameters()]
        total = total + loss
    losses = task(x, y)
    losses.total.backward()
    assert_losses(losses, "pull_push", total)
    assert_local(task, learning, expected)


@pytest.mark.parametrize("number", LAYERS)
def test_a_layers_loss_trains_that_layer_and_its_projection_alone(number):
    task, part = make(number, push=(0.5, 0.5))
    x, y = batch()
    learning = [*task.group.model.bank[0].of_layer(number), *part.projections[0].parameters()]
    task(x, y).total.backward()
    found = [p.grad for p in learning]
    assert_local(task, learning, found)
    task.zero_grad()

    ((_, hidden),) = task.group(x, capture=part.capture).in_flight[part.layers[0]]
    loss = pull_push_of(part.projections[0](hidden), x, y, pull=1.0, push=0.5)
    loss.backward(inputs=learning)
    assert_local(task, learning, found)
    assert all(gradient.abs().max() > 1e-9 for gradient in found)


@pytest.mark.parametrize("centre", ["channels", "batch"])
@pytest.mark.parametrize("statistic", ["deviation", "flatten"])
def test_each_copy_compares_the_rows_that_it_works_on(centre, statistic):
    """Branches whose rows have owners: two comparisons, of three rows and of two, each centred by itself."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Flatten(), nn.Linear(20, CLASSES)
    )
    group = sg.StudyGroup(net, sg.routes.branches(["2", "4"], students=2))
    shapes = sg.objectives.shapes(group, torch.randn(2, 3, 6, 6), layers=[Layer(("0",)), Layer(("2",))])
    sides = {"pull": (0.3, 0.8), "push": (0.6, 0.2)}
    part = PullPush(shapes, classes=CLASSES, source_statistic=statistic, centre=centre, **sides)
    task = sg.CollaborativeLearning(group, [part]).double()
    x, y = batch()
    losses = task(x, y, owner=[0, 1, 0, 1, 0])
    losses.total.backward()
    options = {"centre": centre, "statistic": statistic}
    first = part.projections[0](group.model[0](x))
    shared = pull_push_of(first, x, y, pull=0.3, push=0.6, **options)
    total = shared
    for student, own in ((0, [0, 2, 4]), (1, [1, 3])):
        hidden = part.projections[1](group.export(student)[:3](x[own]))
        total = total + pull_push_of(hidden, x[own], y[own], pull=0.8, push=0.2, **options)
    torch.testing.assert_close(losses.auxiliary["pull_push"], total.detach(), atol=1e-12, rtol=1e-12)
    (gradient,) = torch.autograd.grad(shared, group.model[0].weight)
    torch.testing.assert_close(group.model[0].weight.grad, gradient, atol=1e-12, rtol=1e-12)


def test_weights_rise_and_fall_linearly_over_depth():
    """# reading: from 0 to 1 and back, where nothing is said."""
    _, part = make()
    assert [part.weights[layer] for layer in part.layers] == [(0, 1), (0.5, 0.5), (1, 0)]
    _, part = make(pull=(0.1, 0.5), push=(0.4, 0.2))
    assert part.weights[part.layers[1]] == pytest.approx((0.3, 0.3))


@pytest.mark.parametrize(
    ("layer", "shape", "kind"),
    [
        (Layer(("a",)), (6, 7, 5), nn.Conv2d),
        (Layer(("a",)), (3, 9, 10, 11), nn.Conv3d),
        (Layer(("a",)), (100, 9), nn.Conv1d),
        (Layer(("a",)), (12,), nn.Linear),
        (Layer(("a",), tokens=True), (9, 100), nn.Conv1d),
    ],
)
def test_every_kind_of_output_has_a_projection(layer, shape, kind):
    (projection,) = PullPush({layer: shape}, classes=CLASSES).projections
    assert type(projection) is kind
    width, places = (shape[-1], len(shape) - 1) if layer.tokens else (shape[0], len(shape) - 1)
    assert projection.weight.shape == (min(width, 64), width, *[3] * places)
    assert projection.bias is None


def embedded(**options) -> sg.CollaborativeLearning:
    """Token ids, embedded and averaged behind a linear map."""

    class Text(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.linear = nn.Embedding(20, 6), nn.Linear(6, 6)
            self.head = nn.Linear(6, CLASSES)

        def forward(self, ids):
            return self.head(self.linear(self.embedding(ids)).mean(1))

    group = sg.StudyGroup(Text(), sg.routes.independent(students=1))
    layer = Layer(("linear",), tokens=True)
    shapes = sg.objectives.shapes(group, torch.zeros(2, 4, dtype=torch.long), layers=[layer])
    return sg.CollaborativeLearning(group, [Supervised(), PullPush(shapes, classes=CLASSES, **options)])


def test_another_layer_stands_for_an_input_that_is_no_numbers():
    torch.manual_seed(0)
    task = embedded(source="embedding", push=(1.0, 1.0))
    ids, y = torch.arange(20).view(5, 4), torch.tensor(LABELS)
    losses = task(ids, y)
    losses.total.backward()
    net, (projection,) = task.group.export(0), objective(task, "pull_push").projections
    tokens = net.embedding(ids)
    h = projection(net.linear(tokens).transpose(1, 2))
    expected = pull_push_of(h, tokens.transpose(1, 2), y)
    torch.testing.assert_close(losses.auxiliary["pull_push"], expected.detach())
    without = sg.CollaborativeLearning(sg.StudyGroup(net, sg.routes.independent(students=1)), [Supervised()])
    without(ids, y).total.backward()
    one, other = (each.group.copies("embedding")[0].weight.grad for each in (task, without))
    torch.testing.assert_close(one, other)


def test_an_input_that_is_no_numbers_needs_one():
    with pytest.raises(ValueError, match=r"the input is torch\.int64, .* source="):
        embedded()(torch.arange(20).view(5, 4), torch.tensor(LABELS))
    with pytest.raises(ValueError, match=r"the input is dict, .* source="):
        embedded()({"ids": torch.arange(20).view(5, 4)}, torch.tensor(LABELS))


@pytest.mark.filterwarnings("ignore::studygroup.EqualStudentsWarning")
def test_students_who_see_nothing_of_a_row_say_nothing_of_it():
    """The source's row is taken from a student who sees it."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3), nn.Flatten(), nn.Linear(20, CLASSES))
    group = sg.StudyGroup(net, sg.routes.independent(students=2), init="copy")
    shapes = sg.objectives.shapes(group, torch.randn(2, 3, 6, 6), layers=[Layer(("1",))])
    part = PullPush(shapes, classes=CLASSES, source="0", push=(1.0, 1.0))
    task = sg.CollaborativeLearning(group, [part]).double()
    x, y = batch()
    value = task(x, y, owner=[0, 1, 0, 1, 0]).auxiliary["pull_push"]
    expected = 0
    for own in ([0, 2, 4], [1, 3]):
        source = group.export(0)[0](x[own])
        h = part.projections[0](group.export(0)[1](source))
        expected = expected + pull_push_of(h, source, y[own])
    torch.testing.assert_close(value, expected.detach(), atol=1e-12, rtol=1e-12)


def test_grey_pictures_need_another_statistic():
    task, part = make()
    grey = torch.randn(5, 1, 6, 6, dtype=torch.float64)
    net = Net()
    net.conv1 = nn.Conv2d(1, 3, 3, padding=1)
    task = sg.CollaborativeLearning(sg.StudyGroup(net, sg.routes.independent(students=1)), [part]).double()
    with pytest.raises(ValueError, match=r"the input has 1 channel.*source_statistic='flatten'"):
        task(grey, torch.tensor(LABELS))
    part.source_statistic = "flatten"
    assert task(grey, torch.tensor(LABELS)).total.isfinite()


def test_the_ends_are_those_of_the_batch_at_hand():
    """A second batch of the same size is not compared with the first one's labels and pictures."""
    task, _ = make(push=(1.0, 1.0))
    fresh = copy.deepcopy(task)
    x, y = batch()
    task(x.flip(3) * 3 + x.roll(1, 1), y.roll(2))
    for module in (task, fresh):
        for bank in module.group.copies("fc"):
            bank.eval()
    first, second = (module(x, y).auxiliary["pull_push"] for module in (task, fresh))
    torch.testing.assert_close(first, second, atol=1e-12, rtol=1e-12)


def test_rows_without_a_label_are_refused():
    task = sg.recipes.intra(Net(), example=batch(torch.float32)[0], pull_push=0.01)
    x, y = batch(torch.float32)
    with pytest.raises(ValueError, match="PullPush needs the label of every row, and 2 of 5 have none"):
        task(x, torch.where(y == 2, -100, y))
