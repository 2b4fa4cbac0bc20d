"""L_kernel against loops in float64, written from the intra-model paper's equation 10."""

from functools import partial

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.intra_loops import CLASSES, Net, assert_local, batch, kernel_by_loop, plain
from studygroup.objectives import KernelDecorrelation


def test_sum_over_layers_and_nobody_else_learns():
    torch.manual_seed(0)
    part = KernelDecorrelation(["conv2", "conv3", "fc.3"], weight=0.3)
    task = plain(part, labels=False)
    net = task.group.export(0)
    learning = [task.group.copies(name)[0].weight for name in part.names]
    weights = [net.get_parameter(f"{name}.weight") for name in part.names]
    expected = sum(kernel_by_loop(weight) for weight in weights)
    losses = task(*batch())
    losses.total.backward()
    torch.testing.assert_close(losses.auxiliary["kernel"], expected, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(losses.total, 0.3 * expected, atol=1e-12, rtol=1e-12)
    assert_local(task, learning, torch.autograd.grad(0.3 * expected, weights))


def test_every_copy_of_a_layer_counts():
    torch.manual_seed(0)
    group = sg.StudyGroup(Net(), sg.routes.branches(["conv3", "bn3", "fc"], students=3))
    task = sg.CollaborativeLearning(group, [KernelDecorrelation(["conv3"])]).double()
    expected = sum(kernel_by_loop(group.export(student).conv3.weight) for student in range(3))
    found = task(*batch()).auxiliary["kernel"]
    torch.testing.assert_close(found.detach(), expected.detach(), atol=1e-12, rtol=1e-12)


def test_peers_of_different_architectures():
    nets = [nn.Sequential(nn.Flatten(), nn.Linear(108, width), nn.Linear(width, CLASSES)) for width in (4, 9)]
    peers = sg.Peers(nets)
    task = sg.CollaborativeLearning(peers, [KernelDecorrelation(["1"])]).double()
    expected = sum(kernel_by_loop(peers.export(student)[1].weight) for student in range(2))
    found = task(*batch()).auxiliary["kernel"]
    torch.testing.assert_close(found.detach(), expected.detach(), atol=1e-12, rtol=1e-12)


def test_groups_are_taken_one_by_one():
    net = nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.Flatten(), nn.Linear(96, CLASSES))
    group = sg.StudyGroup(net, sg.routes.independent(students=1))
    task = sg.CollaborativeLearning(group, [KernelDecorrelation(["0"])]).double()
    weight = group.export(0)[0].weight
    expected = sum(kernel_by_loop(weight[i : i + 2]) ** 2 for i in (0, 2, 4)).sqrt()
    found = task(*batch()).auxiliary["kernel"]
    torch.testing.assert_close(found.detach(), expected.detach(), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(("layer", "width"), [(nn.BatchNorm2d(3), 108), (nn.ConvTranspose2d(3, 3, 3), 192)])
def test_layers_whose_filters_are_not_known(layer, width):
    net = nn.Sequential(layer, nn.Flatten(), nn.Linear(width, CLASSES))
    group = sg.StudyGroup(net, sg.routes.independent(students=1))
    task = sg.CollaborativeLearning(group, [KernelDecorrelation(["0"])])
    with pytest.raises(ValueError, match=f"'0' is a {type(layer).__name__}, .* Conv2d, Conv3d, Linear"):
        task(*batch(torch.float32))


def test_unknown_names():
    task = plain(KernelDecorrelation(["conv_3"]))
    with pytest.raises(ValueError, match=r"has no layer 'conv_3' \(near: 'conv3'"):
        task(*batch())


def test_its_gradient_comes_last():
    """When activations are gone: computed before the forward pass, so that the backward pass comes to it last."""
    conv = nn.Conv2d(3, 4, 3, padding=1)
    net = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 3))
    task = sg.recipes.intra(net, example=torch.randn(2, 3, 4, 4), kernel=1.0, kernels=["0"])
    order = []

    def note(name, _):
        order.append(name)

    losses = task(torch.randn(5, 3, 4, 4), torch.arange(5) % 3)
    nodes, seen = [losses.total.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            if "Decorrelation" in node.name() or "Convolution" in node.name():
                node.register_prehook(partial(note, node.name()))
            nodes += [parent for parent, _ in node.next_functions]
    losses.total.backward()
    assert [name.startswith("ConvolutionBackward") for name in order] == [True, False]
