"""Objectives that train single layers: together, inside any group, and what they keep alive."""

import copy

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock

import studygroup as sg
from helpers.intra_loops import (
    CLASSES,
    LAYERS,
    ROWS,
    Net,
    batch,
    kernel_by_loop,
    layers,
    mid_by_loop,
    plain,
    sizes,
)
from helpers.parts import objective
from studygroup.objectives import (
    Imitation,
    KernelDecorrelation,
    Layer,
    LocalClassifiers,
    PullPush,
    Supervised,
)
from studygroup.teachers import RandomSubgroup


def gradients(task: sg.CollaborativeLearning) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in task.named_parameters() if p.grad is not None}


def local_gradients(parts, number: int = 0):
    """Losses and gradients of a task with some objectives, everything drawn alike."""
    torch.manual_seed(0)
    task = plain(*copy.deepcopy(parts), labels=False)
    torch.manual_seed(number)
    losses = task(*batch())
    losses.total.backward()
    own = {name: p.grad for name, p in task.group.named_parameters() if p.grad is not None}
    return losses, own, [gradients(part) for part in task.objectives]


def test_two_objectives_at_one_layer_add_up():
    torch.manual_seed(1)
    mid = LocalClassifiers(sizes(), classes=CLASSES, size=2, weight=0.7)
    pull_push = PullPush(sizes(), classes=CLASSES, push=(1.0, 0.5), weight=lambda progress: 0.4 * progress)
    both, own, heads = local_gradients([mid, pull_push])
    first, own_first, heads_first = local_gradients([mid])
    second, own_second, heads_second = local_gradients([pull_push])
    torch.testing.assert_close(both.total, first.total + second.total, atol=1e-12, rtol=1e-12)
    expected = 0.7 * first.auxiliary["mid"] + 0.4 * second.auxiliary["pull_push"]
    torch.testing.assert_close(both.total.detach(), expected, atol=1e-12, rtol=1e-12)
    for name, gradient in own.items():
        torch.testing.assert_close(gradient, own_first[name] + own_second[name], atol=1e-12, rtol=1e-12)
    for found, alone in zip(heads, [*heads_first, *heads_second], strict=True):
        assert found.keys() == alone.keys()
        for name, gradient in found.items():
            torch.testing.assert_close(gradient, alone[name], atol=1e-12, rtol=1e-12)


def test_objectives_may_look_at_different_layers():
    """The classifiers hear those above them whatever else looks at the layers between."""
    torch.manual_seed(1)
    found = sizes()
    outer = {layer: shape for layer, shape in found.items() if layer.name != "conv2"}
    middle = {layer: shape for layer, shape in found.items() if layer.name == "conv2"}
    parts = [LocalClassifiers(outer, classes=CLASSES), PullPush(middle, classes=CLASSES)]
    values = [local_gradients(some)[0].auxiliary for some in (parts, parts[::-1], parts[:1], parts[1:])]
    for name, alone in (("mid", values[2]), ("pull_push", values[3])):
        assert values[0][name] == values[1][name] == alone[name]


class OutOfPlace(BasicBlock):
    """Torchvision's block with every operation out of place."""

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(self.bn2(self.conv2(out)) + shortcut)


def residual(block: type[BasicBlock]) -> nn.Module:
    torch.manual_seed(0)
    down = nn.Sequential(nn.Conv2d(4, 6, 1, stride=2), nn.BatchNorm2d(6))
    blocks = [block(4, 4), block(4, 6, stride=2, downsample=down)]
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), *blocks, nn.Flatten(), nn.Linear(24, CLASSES)
    )
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = block is BasicBlock
    return net


def test_work_in_place_changes_nothing():
    x, y = batch()
    found = []
    for block in (BasicBlock, OutOfPlace):
        torch.manual_seed(0)
        net = residual(block)
        task = sg.recipes.intra(net, example=x.float(), mid=1.0, pull_push=0.1, kernel=0.1).double()
        assert [layer.name for layer in objective(task, "mid").layers] == [
            "0",
            "3.conv1",
            "3.conv2",
            "4.conv1",
            "4.conv2",
        ]
        losses = task(x, y)
        losses.total.backward()
        found.append((losses, gradients(task)))
    (one, first), (other, second) = found
    torch.testing.assert_close(one.total, other.total, atol=1e-12, rtol=1e-12)
    assert first.keys() == second.keys()
    for name, gradient in first.items():
        torch.testing.assert_close(gradient, second[name], atol=1e-12, rtol=1e-12)


def routed(layers_: list, *, of_students: float = 1.0, kernel: float = 0.1) -> sg.CollaborativeLearning:
    """CGL over a small network, with local classifiers and kernel decorrelation."""
    torch.manual_seed(0)
    routes = sg.routes.random(layers_, students=4, modules=2, seed=3)
    group = sg.StudyGroup(Net(), routes, share_head=True)
    shapes = sg.objectives.shapes(group, batch(torch.float32)[0], layers=layers())
    parts = [
        Supervised(weight=of_students),
        Imitation(RandomSubgroup(probability=0.5), weight=of_students),
        LocalClassifiers(shapes, classes=CLASSES, size=2),
        KernelDecorrelation(["conv3"], weight=kernel),
    ]
    return sg.CollaborativeLearning(group, parts).double()


@pytest.mark.parametrize(
    "names",
    [
        [("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")],
        ["conv1", ("conv2", "bn2", "conv3")],
    ],
)
def test_random_routing_with_owners(names):
    """Each student's rows count for the layer's copies that he takes, in his own mean."""
    task = routed(names)
    task.eval()  # running statistics: rows know nothing of each other
    x, y = batch()
    owner = [0, 3, 1, 3, 2]
    losses = task(x, y, owner=owner)
    losses.total.backward()
    heads = copy.deepcopy(objective(task, "mid").heads)
    nets = [task.group.export(student).eval() for student in range(4)]
    mid, per_layer = 0, []
    for i in range(3):
        value = 0
        for n, student in enumerate(owner):
            z = [
                [head(h)[0]] * ROWS for head, h in zip(heads, nets[student].inner(x[n : n + 1]), strict=True)
            ]
            z.append([nets[student](x[n : n + 1])[0]] * ROWS)
            value = value + mid_by_loop(z, n, i) / owner.count(student)
        per_layer.append(value)
        mid = mid + value
    kernel = sum(kernel_by_loop(module.weight) for module in task.group.copies("conv3"))
    torch.testing.assert_close(losses.auxiliary["mid"], mid.detach(), atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(losses.auxiliary["kernel"], kernel, atol=1e-12, rtol=1e-12)
    for loss, head, found in zip(per_layer, heads, objective(task, "mid").heads, strict=True):
        expected = torch.autograd.grad(loss, list(head.parameters()), retain_graph=True)
        for parameter, gradient in zip(found.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, atol=1e-12, rtol=1e-12)


def test_a_copys_local_gradient_comes_from_its_students_alone():
    names = [("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")]
    task = routed(names, of_students=0.0, kernel=0.0)
    task.eval()
    x, y = batch()
    owner = [0, 3, 1, 3, 2]
    task(x, y, owner=owner).total.backward()
    heads = objective(task, "mid").heads
    choice = dict(zip(task.group.routes.layers, task.group.routes.table, strict=True))
    nets = [task.group.export(student).eval() for student in range(4)]
    for i, number in enumerate(LAYERS):
        expected = [torch.zeros_like(module.weight) for module in task.group.copies(f"conv{number}")]
        for n, student in enumerate(owner):
            net = nets[student]
            z = [[head(h)[0]] * ROWS for head, h in zip(heads, net.inner(x[n : n + 1]), strict=True)]
            z.append([net(x[n : n + 1])[0]] * ROWS)
            weight = net.get_parameter(f"conv{number}.weight")
            (gradient,) = torch.autograd.grad(mid_by_loop(z, n, i) / owner.count(student), weight)
            expected[choice[f"conv{number}"][student]] += gradient
        for module, gradient in zip(task.group.copies(f"conv{number}"), expected, strict=True):
            torch.testing.assert_close(module.weight.grad, gradient, atol=1e-12, rtol=1e-12)


def test_without_gradient_the_values_alone_come():
    torch.manual_seed(0)
    parts = [LocalClassifiers(sizes(), classes=CLASSES), PullPush(sizes(), classes=CLASSES)]
    task = plain(*parts, KernelDecorrelation(["conv3"])).eval()
    x, y = batch()
    with_gradient = task(x, y)
    with torch.no_grad():
        without = task(x, y)
    with torch.inference_mode():
        inference = task(x, y)
    for losses in (without, inference):
        assert not losses.total.requires_grad
        torch.testing.assert_close(losses.total, with_gradient.total.detach())
        for name, value in with_gradient.auxiliary.items():
            torch.testing.assert_close(losses.auxiliary[name], value.detach())


def test_a_frozen_layer_stays_and_its_classifier_learns():
    torch.manual_seed(0)
    task = plain(LocalClassifiers(sizes(), classes=CLASSES), labels=False)
    task.group.model.requires_grad_(False)
    with pytest.warns(sg.NoGradientWarning, match="cannot learn: no parameter"):
        losses = task(*batch())
    losses.total.backward()
    assert all(p.grad is None for p in task.group.parameters())
    assert all(p.grad.any() for p in task.objectives.parameters())


class Skipping(Net):
    """The second layer is left out in training, at random elsewhere, here always."""

    def inner(self, x):
        first = self.relu(self.bn1(self.conv1(x)))
        second = (
            self.relu(self.bn2(self.conv2(first))) if not self.training else first[:, [0, 1, 2, 2], ::2, ::2]
        )
        return [first, second, self.relu(self.bn3(self.conv3(second)))]


def test_a_layer_that_a_step_leaves_out_learns_nothing():
    """The others do as if it did not exist."""
    torch.manual_seed(0)
    group = sg.StudyGroup(Skipping(), sg.routes.independent(students=1))
    parts = [LocalClassifiers(sizes(), classes=CLASSES), PullPush(sizes(), classes=CLASSES)]
    task = sg.CollaborativeLearning(group, [Supervised(), *parts]).double()
    losses = task(*batch())
    losses.total.backward()
    assert losses.total.isfinite()
    for part in (parts[0].heads, parts[1].projections):
        assert [any(p.grad is not None and p.grad.any() for p in head.parameters()) for head in part] == [
            True,
            False,
            True,
        ]


def test_a_loss_scale_keeps_small_local_gradients_from_underflowing():
    """The scaler's own, whatever it is: a weight of 1e-4 gives 1e-4 of the gradient."""
    found = []
    for weight in (1.0, 1e-4):
        torch.manual_seed(0)
        part = LocalClassifiers(sizes(), classes=CLASSES, weight=weight)
        task = plain(part, labels=False).float()
        task.eval()
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
        optimizer = torch.optim.SGD(task.parameters(), lr=0.1)
        with torch.autocast("cpu", dtype=torch.float16):
            losses = task(*batch(torch.float32))
        scaler.scale(losses.total).backward()
        scaler.unscale_(optimizer)
        own = part.heads[0][-1].weight.grad
        found.append((own / weight, task.group.copies("conv1")[0].weight.grad / weight))
    for small, usual in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(small, usual, atol=1e-5, rtol=0.02)


def test_peers_of_different_architectures_have_no_common_layers():
    nets = [nn.Sequential(nn.Flatten(), nn.Linear(108, width), nn.Linear(width, CLASSES)) for width in (4, 9)]
    part = LocalClassifiers({Layer(("1",)): (4,)}, classes=CLASSES)
    task = sg.CollaborativeLearning(sg.Peers(nets), [part])
    with pytest.raises(ValueError, match=r"layer '1' .* different architectures; .* need a StudyGroup"):
        task(*batch(torch.float32))


def test_unknown_names():
    layer = Layer(("conv_1",))
    with pytest.raises(ValueError, match=r"has no layer 'conv_1' \(near: 'conv1'"):
        plain(LocalClassifiers({layer: (3, 6, 6)}, classes=CLASSES))(*batch())
