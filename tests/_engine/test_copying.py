"""What was given stays: attributes, frozen values, modes; what cannot be copied is refused."""

import types

import pytest
import torch
from torch import nn

import studygroup as sg


def make() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def frozen() -> nn.Module:
    net = make()
    net[0].requires_grad_(False)
    net[1].requires_grad_(False).eval()
    net[1].running_mean.fill_(3.0)
    return net


@pytest.mark.parametrize("init", [make, "fresh", "copy"])
def test_frozen_layers_are_the_given_ones_in_every_student(init):
    net = frozen()
    group = sg.StudyGroup(net, sg.routes.independent(students=3), init=init)
    for student in range(3):
        own = group.export(student)
        assert torch.equal(own[0].weight, net[0].weight)
        assert torch.equal(own[1].running_mean, torch.full((8,), 3.0))
        assert not own[0].weight.requires_grad
        assert own[3].weight.requires_grad
        assert not own[1].training
    assert torch.equal(group.export(1)[3].weight, group.export(0)[3].weight) == (init == "copy")


@pytest.mark.parametrize("init", [make, "fresh", "copy"])
def test_attributes_of_parameters_are_kept(init):
    net = make()
    net[0].weight._no_weight_decay = True
    group = sg.StudyGroup(net, sg.routes.branches(["3"], students=2), init=init, share_head=True)
    assert group.export(1)[0].weight._no_weight_decay
    net[3].bias.tag = "head"
    group = sg.StudyGroup(net, sg.routes.branches(["3"], students=2), init=init)
    assert [group.export(student)[3].bias.tag for student in range(2)] == ["head", "head"]
    assert all(p._no_weight_decay for p in group.parameters() if p.shape == (8, 6))


def test_parametrised_layers_of_one_make_are_drawn_anew():
    def build():
        net = make()
        nn.utils.parametrizations.weight_norm(net[0])
        return net

    torch.manual_seed(0)
    group = sg.StudyGroup(build(), sg.routes.independent(["0"], students=2), init=build, share_head=True)
    x = torch.randn(5, 6)
    group.eval()
    logits = group(x).logits
    for student in range(2):
        torch.testing.assert_close(group.export(student)(x), logits[student])
    assert not torch.equal(logits[0], logits[1])


def test_a_forward_that_was_replaced_by_a_function_is_refused():
    net = make()
    plain = net.forward
    net.forward = lambda x: plain(x.float())
    with pytest.raises(ValueError, match=r"forward of the model .* which copies would share"):
        sg.recipes.dml(net, init=make)
    bound = make()
    bound.forward = types.MethodType(lambda self, x: nn.Sequential.forward(self, x.float()), bound)
    task = sg.recipes.dml(bound, init="fresh")
    task(torch.randn(4, 6), torch.tensor([0, 1, 2, 0])).total.backward()
    assert all(p.grad is not None for p in task.group.parameters_of(0))


@pytest.mark.parametrize("init", ["copy", "fresh", "function"])
def test_lazy_parameters_are_refused(init):
    def lazy():
        return nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 3))

    with pytest.raises(ValueError, match=r"parameter '0\.weight' has no shape yet"):
        sg.recipes.dml(lazy(), init=lazy if init == "function" else init)
    net = lazy()
    net(torch.randn(2, 6))
    group = sg.StudyGroup(net, sg.routes.independent(students=2), init="copy" if init == "function" else init)
    assert group(torch.randn(4, 6)).logits.shape == (2, 4, 3)


@pytest.mark.parametrize("init", [make, "fresh", "copy"])
def test_hooks_on_gradients_act_on_every_student(init):
    net, seen = make(), []
    net[3].weight.register_hook(lambda gradient: seen.append(gradient.shape))
    group = sg.StudyGroup(net, sg.routes.independent(students=3), init=init)
    group(torch.randn(4, 6)).logits.sum().backward()
    assert seen == [(3, 8)] * 3


def test_a_parameter_of_one_number_that_is_no_draw_is_drawn_anew_without_a_word():
    def net():
        return nn.Sequential(nn.Linear(6, 8), nn.PReLU(), nn.Linear(8, 3))

    group = sg.StudyGroup(net(), sg.routes.branches(["1", "2"], students=2), init="fresh")
    assert [group.export(student)[1].weight.item() for student in range(2)] == [0.25, 0.25]
