"""Copies and exports after training, whatever modules hold."""

import threading
import warnings
import weakref

import pytest
import torch
from torch import nn

import studygroup as sg
from studygroup._engine.copying import SharedAttributeWarning, duplicate


class Net(nn.Module):
    """A layer with something beside its weights, and a classifier."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = self.Holding(), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.layer(x).tanh())

    class Holding(nn.Linear):
        def __init__(self):
            super().__init__(6, 8)
            self.hold()

        def hold(self):
            pass


def holding(layer: type[nn.Linear]) -> type[Net]:
    """The network with another layer."""
    return type("Other", (Net,), {"Holding": layer})


def trained(make, routes) -> sg.CollaborativeLearning:
    torch.manual_seed(0)
    task = sg.recipes.dml(sg.StudyGroup(make(), routes, init=make))
    optimiser = torch.optim.SGD(task.parameters(), lr=0.1)
    for number in range(2):
        optimiser.zero_grad()
        task(torch.randn(4, 6), torch.tensor([0, 1, 2, number])).total.backward()
        optimiser.step()
    return task


class LastOutput(Net.Holding):
    """Keeps its last output, and more of the sort in containers."""

    def forward(self, x):
        out = super().forward(x)
        self.last, self.past = out, {"all": [out, (out.sum(), out[0])]}
        return out


class LeafWithGradient(Net.Holding):
    def hold(self):
        self.gain = torch.ones(8, requires_grad=True)

    def forward(self, x):
        return super().forward(x) * self.gain


class ViewOfWeight(Net.Holding):
    """The weight is used through a view that was made once."""

    def hold(self):
        self.turned = self.weight.t()

    def forward(self, x):
        return x @ self.turned + self.bias


class ConstantOfWeight(Net.Holding):
    """A tensor without gradient that shows the weight's own memory."""

    def hold(self):
        self.shown = self.weight.detach()

    def forward(self, x):
        return super().forward(x) + self.shown.square().sum()


class Lock(Net.Holding):
    def hold(self):
        self.lock = threading.Lock()

    def forward(self, x):
        with self.lock:
            return super().forward(x)


class LateLock(Net.Holding):
    """What cannot be copied comes in the first pass."""

    def forward(self, x):
        self.lock = threading.Lock()
        return super().forward(x)


class Generator(Net.Holding):
    def hold(self):
        self.draw = torch.Generator().manual_seed(0)


class Parent(Net):
    """A layer that knows the network weakly, and reads it."""

    class Holding(Net.Holding):
        def forward(self, x):
            return super().forward(x) * self.parent().gain

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.full((8,), 2.0))
        self.layer.parent = weakref.ref(self)


class Owned(Parent):
    """A layer that knows the network by a strong reference, in a list so that it is no child."""

    class Holding(Net.Holding):
        def forward(self, x):
            return super().forward(x) * self.parent[0].gain

    def __init__(self):
        super().__init__()
        self.layer.parent = [self]


HOLDS = {
    cls.__name__: holding(cls)
    for cls in (LastOutput, LeafWithGradient, ViewOfWeight, ConstantOfWeight, Lock, LateLock, Generator)
} | {cls.__name__: cls for cls in (Parent, Owned)}
ROUTES = {
    "whole": sg.routes.independent(students=2),
    "layer": sg.routes.branches(["layer", "head"], students=2),
    "head": sg.routes.branches(["head"], students=2),
}


@pytest.mark.filterwarnings("ignore::studygroup.SharedAttributeWarning")
@pytest.mark.parametrize("routes", ROUTES)
@pytest.mark.parametrize("name", HOLDS)
def test_exports_after_training_answer_as_the_students(name, routes):
    task = trained(HOLDS[name], ROUTES[routes])
    x = torch.randn(5, 6)
    with torch.no_grad():
        logits = task.eval().group(x).logits
    exports = [task.group.export(student) for student in range(2)]
    for student, network in enumerate(exports):
        torch.testing.assert_close(network(x), logits[student])
    del task  # what ships stands alone
    other = {name: torch.zeros_like(value) for name, value in exports[0].state_dict().items()}
    torch.testing.assert_close(exports[1](x), logits[1])
    exports[0].load_state_dict(other)
    assert not exports[0](x).any()
    torch.testing.assert_close(exports[1](x), logits[1])
    exports[1](x).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in exports[1].parameters())


@pytest.mark.parametrize("layer", [Lock, LateLock])
def test_what_cannot_be_copied_is_shared_and_named(layer):
    make = holding(layer)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        task = trained(make, ROUTES["head"])
        network = task.group.export(0)
    said = [str(one.message) for one in said if one.category is SharedAttributeWarning]
    assert said
    assert all(f"'lock' of layer 'layer' ({layer.__name__}) cannot be copied" in one for one in said)
    assert network.layer.lock is task.group.model.layer.lock


def test_references_among_modules_lead_to_the_copy():
    net = Parent()
    copied = duplicate(net)
    assert copied.layer.parent() is copied
    outside = nn.Linear(2, 2)
    net.layer.other = weakref.ref(outside)
    assert duplicate(net).layer.other() is outside


def test_a_view_and_a_constant_follow_the_copied_weight():
    for layer in (ViewOfWeight, ConstantOfWeight):
        given = holding(layer)()
        copied = duplicate(given)
        before = given(torch.ones(1, 6)).detach()
        x = torch.ones(1, 6)
        copied.layer.weight.data.zero_()
        held = copied.layer.turned if layer is ViewOfWeight else copied.layer.shown
        assert not held.any()
        assert held.requires_grad == (layer is ViewOfWeight)
        assert torch.equal(given(x), before)


def test_a_view_into_the_middle_of_computed_memory_shows_the_same_part_of_the_copy():
    net = nn.Linear(4, 4)
    base = torch.empty(0).set_(torch.arange(10.0).untyped_storage(), 4, (6,), (1,))
    base.mul_(net.weight.sum() * 0 + 1)
    net.base, net.part = base, base[1:3]
    copied = duplicate(net)
    assert copied.base.tolist() == [4, 5, 6, 7, 8, 9]
    assert copied.part.tolist() == [5, 6]
    copied.base.data[1] = 100
    assert copied.part.tolist() == [100, 6]
    assert net.part.tolist() == [5, 6]


def test_what_copies_itself_computes_as_ever():
    class Own:
        def __deepcopy__(self, memo):
            made = Own()
            made.value = torch.full((2,), 3, dtype=torch.float64)
            return made

    net = nn.Linear(2, 2)
    net.own = Own()
    assert duplicate(net).own.value.dtype == torch.float64


def test_a_module_whose_own_copy_fails_says_so_itself():
    class Never(nn.Linear):
        def __deepcopy__(self, memo):
            raise RuntimeError("this layer is unique")

    with pytest.raises(RuntimeError, match="this layer is unique"):
        sg.recipes.dml(nn.Sequential(Never(6, 3)), init="copy")
