"""What is noted of the layers that objectives train by themselves."""

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
import torchvision
from timm.layers import BatchNormAct2d
from torch import nn

import studygroup as sg
from helpers.intra_loops import Net, batch, layers
from helpers.networks import resnet
from studygroup.objectives import Capture, Layer


def alone(net: nn.Module) -> sg.StudyGroup:
    return sg.StudyGroup(net, sg.routes.independent(students=1))


def in_flight(group: sg.StudyGroup, x: torch.Tensor, *layers: Layer, **options):
    return group(x, capture=Capture(in_flight=layers), **options).in_flight


def noted(group: sg.StudyGroup, x: torch.Tensor, layer: Layer) -> torch.Tensor:
    """The one piece of a layer that all rows pass at once."""
    ((rows, tensor),) = in_flight(group, x, layer)[layer]
    assert rows.sample.tolist() == list(range(len(x)))
    return tensor


@pytest.mark.parametrize("inplace", [False, True])
def test_an_activation_that_all_layers_share_belongs_to_the_one_before_it(inplace):
    torch.manual_seed(0)
    group, (x, _) = alone(Net(inplace=inplace)).eval(), batch(torch.float32)
    found = in_flight(group, x, *layers())
    for layer, expected in zip(layers(), group.export(0).eval().inner(x), strict=True):
        ((_, tensor),) = found[layer]
        torch.testing.assert_close(tensor, expected)


def test_the_last_layer_of_a_residual_block_ends_with_the_sum_and_its_activation():
    """Torchvision's block adds and activates in place; a shortcut with weights lies between norm and sum."""
    torch.manual_seed(0)
    group, x = alone(resnet()), torch.randn(4, 3, 32, 32)
    ends = [Layer((f"{block}.conv2", f"{block}.bn2"), activated=True) for block in ("layer1.1", "layer2.0")]
    outputs = group(x, capture=Capture(activations=("layer1.1", "layer2.0"), in_flight=tuple(ends)))
    for layer, block in zip(ends, ("layer1.1", "layer2.0"), strict=True):
        ((_, tensor),) = outputs.in_flight[layer]
        torch.testing.assert_close(tensor, outputs.activations[block][0], atol=0, rtol=0)
        assert tensor.min() == 0


class Functional(Net):
    """Activations of the layers are functions; the classifier's are modules."""

    def inner(self, x):
        first = F.relu(self.bn1(self.conv1(x)))
        second = F.relu(self.bn2(self.conv2(first)))
        return [first, second, F.relu(self.bn3(self.conv3(second)))]


def test_an_activation_that_is_a_function_is_not_seen():
    """The norm's output is noted; the classifier's activation, of another size, is not taken for the layer's."""
    torch.manual_seed(0)
    group, (x, _) = alone(Functional()).eval(), batch(torch.float32)
    third = layers()[2]
    net = group.export(0).eval()
    expected = net.bn3(net.conv3(net.inner(x)[1]))
    tensor = noted(group, x, third)
    torch.testing.assert_close(tensor, expected)
    assert tensor.min() < 0


class Gated(nn.Module):
    """Squeeze and excitation between the norm and the sum, with activations of its own."""

    def __init__(self):
        super().__init__()
        self.stem, self.conv, self.bn = (
            nn.Conv2d(3, 4, 3, padding=1),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.BatchNorm2d(4),
        )
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 2, 1), nn.ReLU(), nn.Conv2d(2, 4, 1), nn.Sigmoid()
        )
        self.relu, self.fc = nn.ReLU(), nn.Linear(4, 7)

    def block(self, x):
        h = self.stem(x)
        own = self.bn(self.conv(h))
        return self.relu(own * self.gate(own) + h)

    def forward(self, x):
        return self.fc(self.block(x).mean((2, 3)))


def test_the_activations_of_a_gate_are_passed_over():
    group, (x, _) = alone(Gated()).eval(), batch(torch.float32)
    tensor = noted(group, x, Layer(("conv", "bn"), activated=True))
    torch.testing.assert_close(tensor, group.export(0).eval().block(x))


def test_an_activation_inside_the_norm():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), BatchNormAct2d(4), nn.Flatten(), nn.Linear(64, 7))
    group, (x, _) = alone(net).eval(), batch(torch.float32)
    tensor = noted(group, x, Layer(("0", "1"), activated=True))
    torch.testing.assert_close(tensor, group.export(0).eval()[:2](x))
    assert tensor.min() == 0


def test_layers_that_are_routed_by_themselves():
    """Convolution and norm travel together, the activation is shared: one piece with it, one a module without."""
    torch.manual_seed(0)
    routes = sg.routes.tree({"conv2": [0, 1, 0], "bn2": [0, 1, 0], "fc": [0, 1, 2]})
    group, (x, _) = sg.StudyGroup(Net(), routes).eval(), batch(torch.float32)
    nets = [group.export(student).eval() for student in range(3)]
    second = [net.inner(x)[1] for net in nets]
    first, last = Layer(("conv2", "bn2"), activated=True), Layer(("conv2", "bn2"))
    found = in_flight(group, x, first, last)
    ((rows, tensor),) = found[first]
    assert rows.students.tolist() == [[True, False, True]] * 5 + [[False, True, False]] * 5
    torch.testing.assert_close(tensor, torch.cat(second[:2]))
    for (rows, tensor), net, students in zip(
        found[last], nets, ([True, False, True], [False, True, False]), strict=False
    ):
        assert rows.students.tolist() == [students] * 5
        assert rows.sample.tolist() == [0, 1, 2, 3, 4]
        torch.testing.assert_close(tensor, net.bn2(net.conv2(net.inner(x)[0])))
    assert len(found[last]) == 2


def test_layers_inside_a_routed_block():
    """A piece for each module, with the rows that it works on."""
    torch.manual_seed(0)
    group = sg.StudyGroup(
        resnet(), sg.routes.branches(["layer2", "layer3", "layer4", "fc"], students=2)
    ).eval()
    sees = torch.tensor([[True, False, True, True], [False, True, False, True]])
    layer = Layer(("layer2.0.conv1", "layer2.0.bn1"), activated=True)
    x = torch.randn(4, 3, 32, 32)
    pieces = in_flight(group, x, layer, sees=sees)[layer]
    assert [rows.sample.tolist() for rows, _ in pieces] == [[0, 2, 3], [1, 3]]
    for student, (rows, tensor) in enumerate(pieces):
        net = group.export(student).eval()
        block, below = net.layer2[0], net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(x)))))
        expected = block.relu(block.bn1(block.conv1(below)))[rows.sample]
        torch.testing.assert_close(tensor, expected, atol=1e-5, rtol=1e-5)


class Twice(nn.Module):
    """One layer is called twice, one never."""

    def __init__(self):
        super().__init__()
        self.linear, self.relu, self.unused, self.fc = (
            nn.Linear(6, 6),
            nn.ReLU(),
            nn.Linear(6, 6),
            nn.Linear(6, 7),
        )

    def forward(self, x):
        return self.fc(self.relu(self.linear(self.relu(self.linear(x)))))


def test_the_last_call_counts_and_no_call_leaves_nothing():
    group, x = alone(Twice()), torch.randn(5, 6)
    net = group.export(0)
    layer, unused = Layer(("linear",), activated=True), Layer(("unused",))
    expected = net.relu(net.linear(net.relu(net.linear(x))))
    torch.testing.assert_close(noted(group, x, layer), expected)
    assert in_flight(group, x, unused)[unused] == []


@pytest.mark.slow
def test_what_an_activation_has_replaced_is_not_kept():
    net, (x, _) = Net(), batch(torch.float32)
    kept = []
    net.bn1.register_forward_hook(lambda *given: kept.append(weakref.ref(given[-1])))
    net.fc.register_forward_pre_hook(lambda *_: (gc.collect(), kept.append(kept[-1]() is None))[:0] or None)
    in_flight(alone(net), x, *layers())
    assert kept[-1] is True


def test_a_name_that_the_model_does_not_have():
    group, (x, _) = alone(Net()), batch(torch.float32)
    with pytest.raises(ValueError, match=r"has no layer 'conv_2' \(near: 'conv2'"):
        in_flight(group, x, Layer(("conv_2", "bn2")))


def test_one_name_may_stand_for_two_layers():
    """With and without its activation: each gets its own output."""
    group, (x, _) = alone(Net()).eval(), batch(torch.float32)
    with_it, without = Layer(("conv1", "bn1"), activated=True), Layer(("conv1",))
    found = in_flight(group, x, with_it, without)
    net = group.export(0).eval()
    torch.testing.assert_close(found[without][0][1], net.conv1(x))
    torch.testing.assert_close(found[with_it][0][1], net.inner(x)[0])


def test_two_requests_are_one_without_repetitions():
    first = Capture(("a", "b"), features=True, in_flight=(Layer(("a",)),))
    second = Capture(("b", "c"), trunk=True, in_flight=(Layer(("b",)), Layer(("a",))))
    assert first | second == Capture(
        ("a", "b", "c"), features=True, trunk=True, in_flight=(Layer(("a",)), Layer(("b",)))
    )
    assert Capture() | Capture() == Capture()
    hooked = [Capture(("a",)), Capture(features=True), Capture(in_flight=(Layer(("a",)),))]
    assert all(one.by_hooks() for one in hooked)
    assert not Capture(trunk=True).by_hooks()


def test_shapes():
    x = torch.randn(2, 3, 32, 32)
    net = torchvision.models.resnet18(num_classes=7)
    blocks = [Layer(("conv1", "bn1"), activated=True), Layer(("layer3.1",)), Layer(("fc",))]
    found = sg.objectives.shapes(alone(net), x, layers=blocks)
    assert list(found.items()) == list(zip(blocks, [(64, 16, 16), (256, 2, 2), (7,)], strict=True))
    with pytest.raises(ValueError, match="layer 'unused' is never called"):
        sg.objectives.shapes(alone(Twice()), torch.randn(2, 6), layers=[Layer(("unused",))])


class Positions(nn.Module):
    """A layer whose output has no rows."""

    def __init__(self):
        super().__init__()
        self.embedding, self.fc = nn.Embedding(6, 6), nn.Linear(6, 7)

    def forward(self, x):
        return self.fc(x + self.embedding(torch.arange(6)).mean(0))


def test_an_output_without_rows():
    with pytest.raises(ValueError, match=r"'embedding' returned a tensor of shape \(6, 6\) for 2 rows"):
        sg.objectives.shapes(alone(Positions()), torch.randn(2, 6), layers=[Layer(("embedding",))])


@pytest.mark.parametrize("students", [1, 2])
@pytest.mark.parametrize("inplace", [False, True])
def test_what_follows_in_place_does_not_change_what_a_layer_returned(inplace, students):
    """Nor the input of the classifier, nor what trains a single layer."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(inplace), nn.Linear(5, 6), nn.ReLU(inplace), nn.Linear(6, 7))
    x, layer = torch.randn(3, 4), Layer(("0",))
    expected = net[0](x)
    group = sg.StudyGroup(net, sg.routes.branches(["0", "4"], students=students), init="copy")
    outputs = group(x, capture=Capture(activations=("0",), in_flight=(layer,)))
    for student in range(students):
        torch.testing.assert_close(outputs.activations["0"][student], expected)
        torch.testing.assert_close(outputs.in_flight[layer][student][1], expected)
    (found,) = torch.autograd.grad(outputs.activations["0"].sum(), group.copies("0")[0].weight)
    torch.testing.assert_close(found, x.sum(0).expand(5, 4))


class AddsInPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.fc = nn.Linear(4, 4), nn.Linear(4, 7)

    def forward(self, x):
        hidden = self.first(x)
        hidden += x
        return self.fc(hidden)


def test_a_function_that_changes_what_a_layer_returned_is_told():
    group, x = alone(AddsInPlace()), torch.randn(3, 4)
    for capture in (Capture(activations=("first",)), Capture(in_flight=(Layer(("first",)),))):
        with pytest.raises(
            ValueError, match="what layer 'first' returns, or gets, is changed in place before"
        ):
            group(x, capture=capture)
    activated = Layer(("first",), activated=True)  # ends with what is done to it in place
    ((_, tensor),) = in_flight(group, x, activated)[activated]
    net = group.export(0)
    torch.testing.assert_close(tensor, net.first(x) + x)
