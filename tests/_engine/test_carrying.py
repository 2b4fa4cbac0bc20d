"""What is drawn anew takes over what was given: precision, memory format, hooks of modules and of gradients."""

import pytest
import torch
from torch import nn

import studygroup as sg
from studygroup.teachers import Averages


def make() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3))


INITS = pytest.mark.parametrize("init", [make, "fresh", "copy"])


def ways_out(group: sg.StudyGroup) -> list[nn.Module]:
    """The students as they ship, of themselves and of their averages."""
    averages = Averages(group)
    return [one.export(student) for one in (group, averages) for student in range(group.students)]


@INITS
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_precision_is_the_given_one_in_every_student(init, dtype):
    net = make().to(dtype)
    for routes in (sg.routes.independent(students=2), sg.routes.branches(["3"], students=2)):
        group = sg.StudyGroup(net, routes, init=init)
        for own in (group, *ways_out(group)):
            floating = [value for value in own.state_dict().values() if value.is_floating_point()]
            assert {value.dtype for value in floating} == {dtype}
    assert group.export(1)[1].num_batches_tracked.dtype == torch.long


@INITS
def test_mixed_precision_stays_mixed(init):
    net = make().to(torch.bfloat16)
    net[1].float()
    group = sg.StudyGroup(net, sg.routes.independent(students=2), init=init)
    for own in ways_out(group):
        assert own[0].weight.dtype == own[3].bias.dtype == torch.bfloat16
        assert own[1].weight.dtype == own[1].running_mean.dtype == torch.float32


@INITS
def test_memory_format_is_the_given_one_in_every_student(init):
    net = make().to(memory_format=torch.channels_last)
    strides = net[0].weight.stride()
    assert strides != make()[0].weight.stride()
    group = sg.StudyGroup(net, sg.routes.independent(students=2), init=init)
    assert [own[0].weight.stride() for own in ways_out(group)] == [strides] * 4
    assert [layer.weight.stride() for layer in group.copies("0")] == [strides] * 2


@INITS
def test_hooks_of_modules_act_in_every_student(init):
    def halved(module, args, output):
        return output / 2

    net = make()
    net[3].register_forward_hook(halved)
    net[0].register_forward_pre_hook(lambda module, args, kwargs: ((args[0] + 1,), kwargs), with_kwargs=True)
    group = sg.StudyGroup(net, sg.routes.independent(students=2), init=init).eval()
    x = torch.randn(2, 3, 6, 6)
    logits = group(x).logits
    plain = make().eval()
    for student in range(2):
        network = group.export(student)
        torch.testing.assert_close(network(x), logits[student])
        plain.load_state_dict(network.state_dict())
        torch.testing.assert_close(plain(x + 1) / 2, logits[student])


def test_hooks_that_a_builder_registers_itself_act_once():
    def build():
        net = make()
        net[3].register_forward_hook(lambda module, args, output: output + 1)
        return net

    group = sg.StudyGroup(build(), sg.routes.independent(students=2), init=build).eval()
    x, plain = torch.randn(2, 3, 6, 6), make().eval()
    for student in range(2):
        plain.load_state_dict(group.export(student).state_dict())
        torch.testing.assert_close(plain(x) + 1, group(x).logits[student])


@INITS
@pytest.mark.parametrize("layers", [[""], ["3"]])
def test_masks_on_gradients_hold_in_every_student(init, layers):
    net = make()
    mask = torch.zeros(3, 64)
    mask[1] = 1.0
    net[3].weight.register_hook(lambda gradient: gradient * mask)
    group = sg.StudyGroup(net, sg.routes.branches(layers, students=2), init=init).eval()
    group(torch.randn(2, 3, 6, 6)).logits.square().sum().backward()
    networks = [group.export(student) for student in range(2)]
    for layer in group.copies("3"):
        assert layer.weight.grad[1].any()
        assert not layer.weight.grad[0::2].any()
    for network in networks:
        network(torch.randn(2, 3, 6, 6)).square().sum().backward()
        assert network[3].weight.grad[1].any()
        assert not network[3].weight.grad[0::2].any()


class Watching(nn.Module):
    """The network keeps what a layer's hook, a method of the network, tells it."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 3)
        self.norm = nn.LayerNorm(8)
        self.body.register_forward_hook(self.keep)

    def keep(self, module, args, output):
        self.kept = self.norm(output)

    def forward(self, x):
        self.body(x)
        return self.head(self.kept)


@pytest.mark.parametrize("init", [Watching, "copy", "fresh"])
@pytest.mark.parametrize("layers", [[""], ["body", "head"]])
def test_hooks_that_are_methods_of_the_network_write_to_their_own_copy(init, layers):
    torch.manual_seed(0)
    group = sg.StudyGroup(Watching(), sg.routes.independent(layers, students=2), init=init)
    x = torch.randn(4, 6)
    if layers == [""]:
        group(x).logits.square().sum().backward()
        optimiser = torch.optim.SGD(group.parameters(), lr=0.1)
        optimiser.step()
        logits = group(x).logits
    for student in range(2):
        network = group.export(student)
        assert not [m for m in network.modules() if type(m).__module__.startswith("studygroup")]
        assert network.body._forward_hooks.popitem()[1].__self__ is network
        network.body.register_forward_hook(network.keep)
        if layers == [""]:
            torch.testing.assert_close(network(x), logits[student])


class Given(nn.Module):
    """Numbers that belong to the data, not to what learns."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x):
        return x - self.mean


@pytest.mark.parametrize("init", ["builder", "fresh", "copy"])
@pytest.mark.parametrize(
    ("build", "place"),
    [
        (lambda: nn.BatchNorm1d(4), "running_mean"),
        (lambda: nn.BatchNorm1d(4, affine=False), "running_mean"),
        (lambda: nn.InstanceNorm1d(4, affine=True, track_running_stats=True), "running_mean"),
        (Given, "mean"),
    ],
)
def test_statistics_that_nothing_moves_are_the_given_ones(build, place, init):
    """Of norms kept in evaluation, whatever else of them learns, and of modules without parameters."""

    def network():
        return nn.Sequential(nn.Linear(6, 4), build(), nn.Linear(4, 3))

    net = network()
    net[1].get_buffer(place).fill_(3.0)
    net[1].eval()
    group = sg.StudyGroup(net, sg.routes.independent(students=2), init=network if init == "builder" else init)
    for own in ways_out(group):
        assert torch.equal(own[1].get_buffer(place), torch.full((4,), 3.0))
        assert not own[1].training


def test_what_parametrises_a_drawn_weight_is_its_own():
    """The vectors of a spectral norm belong to the weight: those of another would blow it up."""

    def build():
        return nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(6, 4), n_power_iterations=20))

    group = sg.StudyGroup(build(), sg.routes.independent(students=2), init=build, share_head=True).eval()
    for layer in group.copies("0"):
        assert float(torch.linalg.matrix_norm(layer.weight.detach(), 2)) == pytest.approx(1, abs=0.05)


@INITS
def test_hooks_after_accumulation_act_on_every_student(init):
    def fill(parameter):
        parameter.grad.fill_(2.0)

    net = make()
    net[3].weight.register_post_accumulate_grad_hook(fill)
    group = sg.StudyGroup(net, sg.routes.branches(["3"], students=2), init=init)
    group(torch.randn(4, 3, 6, 6)).logits.sum().backward()
    assert all((layer.weight.grad == 2).all() for layer in group.copies("3"))


def test_exports_of_averages_are_as_trainable_as_what_was_handed_in():
    net = make()
    net[0].requires_grad_(False)
    net.register_parameter(
        "levels", nn.Parameter(torch.arange(3), requires_grad=False)
    )  # cannot have a gradient
    group = sg.StudyGroup(net, sg.routes.branches(["3"], students=2), init=make)
    averages, fixed = Averages(group), sg.teachers.Frozen(net).of
    for own in (averages.export(1), fixed.export(0)):
        assert [name for name, p in own.named_parameters() if not p.requires_grad] == [
            "levels",
            "0.weight",
            "0.bias",
        ]
    assert not any(p.requires_grad for p in (*averages.parameters(), *fixed.parameters()))


def test_switches_of_checkpointing_that_were_thrown_are_thrown_in_every_student():
    def make():
        net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
        net[0].grad_checkpointing = False
        return net

    net = make()
    net[0].grad_checkpointing = True
    group = sg.StudyGroup(net, sg.routes.independent(students=2), init=make)
    assert [group.export(student)[0].grad_checkpointing for student in range(2)] == [True, True]
