"""Weights that are computed from others: normalised old and new, spectral, pruned; on shared and on routed layers."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import studygroup as sg
from studygroup.objectives import Imitation, Supervised
from studygroup.teachers import Averages, MeanOfOthers

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::studygroup.EqualStudentsWarning"),
]


class Doubled(nn.Module):
    def forward(self, w):
        return 2 * w


def twice_pruned(layer: nn.Module) -> None:
    prune.l1_unstructured(layer, "weight", amount=0.3)
    prune.random_unstructured(layer, "bias", amount=0.3)


WAYS = {
    "old weight norm": nn.utils.weight_norm,
    "old weight norm over all": lambda layer: nn.utils.weight_norm(layer, dim=None),
    "weight norm": parametrizations.weight_norm,
    "old spectral norm": nn.utils.spectral_norm,
    "spectral norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "own parametrisation": lambda layer: nn.utils.parametrize.register_parametrization(
        layer, "weight", Doubled()
    ),
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", amount=0.4),
    "pruned in rows": lambda layer: prune.ln_structured(layer, "weight", amount=0.5, n=2, dim=0),
    "pruned twice": twice_pruned,
}


@pytest.fixture(params=WAYS)
def make(request):
    def build() -> nn.Module:
        net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
        for layer in (net[0], net[2]):
            WAYS[request.param](layer)
        return net

    return build


def batch(number: int = 0):
    draw = torch.Generator().manual_seed(number)
    return torch.randn(6, 6, generator=draw), torch.randint(3, (6,), generator=draw)


def students(make, init) -> sg.StudyGroup:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sg.StudyGroup(
            make(), sg.routes.branches(["2"], students=2), init=make if init == "make" else init
        )


def assert_same(group: sg.Group, state: dict | None = None) -> None:
    """Every student's export answers as it does in the group, before and after its own state goes round."""
    group.eval()
    x, _ = batch(1)
    with torch.no_grad():
        logits = group(x).logits
        for student in range(group.students):
            network = group.export(student)
            torch.testing.assert_close(network(x), logits[student])
            state = {name: value.clone() for name, value in network.state_dict().items()}
            other = group.export(1 - student)
            other.load_state_dict(state)
            torch.testing.assert_close(other(x), logits[student])
    group.train()


@pytest.mark.slow
@pytest.mark.parametrize("init", ["make", "copy", "fresh"])
def test_students_train_and_ship_as_they_answer(make, init):
    group = students(make, init)
    averages = Averages(group, decay=0.5)
    task = sg.CollaborativeLearning(
        group, [Supervised(), Imitation(MeanOfOthers(of=averages))], exports=averages
    )
    assert list(group.export(1).state_dict()) == list(make().state_dict())
    optimiser = torch.optim.SGD(group.parameters(), lr=0.1)
    before = [p.detach().clone() for p in group.parameters()]
    for number in range(3):
        optimiser.zero_grad()
        task(*batch(number)).total.backward()
        optimiser.step()
    moved = [not torch.equal(p, old) for p, old in zip(group.parameters(), before, strict=True)]
    assert all(moved)
    assert_same(group)
    if "u" not in {
        name[-1] for name in group.state_dict()
    }:  # estimates that training passes of their own move
        assert_same(averages)
    trained = group.export(1)
    optimiser = torch.optim.SGD(trained.parameters(), lr=0.1)
    x, y = batch()
    nn.functional.cross_entropy(trained(x), y).backward()
    before = trained(x).detach()
    optimiser.step()
    assert not torch.equal(trained(x), before)  # what ships can be fine-tuned


def test_the_group_trains_as_separate_networks_do(make):
    torch.manual_seed(0)
    group = sg.StudyGroup(make(), sg.routes.independent(students=2), init=make)
    alone = [group.export(student) for student in range(2)]
    task = sg.CollaborativeLearning(group, [Supervised()])
    optimiser = torch.optim.SGD(group.parameters(), lr=0.1)
    others = [torch.optim.SGD(network.parameters(), lr=0.1) for network in alone]
    for number in range(3):
        x, y = batch(number)
        optimiser.zero_grad()
        task(x, y).total.backward()
        optimiser.step()
        for network, other in zip(alone, others, strict=True):
            other.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            other.step()
    for student in range(2):
        for own, its in zip(group.export(student).parameters(), alone[student].parameters(), strict=True):
            torch.testing.assert_close(own, its)


def test_a_state_of_the_task_goes_round(make):
    task, again = (sg.CollaborativeLearning(students(make, "make"), [Supervised()]) for _ in range(2))
    optimiser = torch.optim.SGD(task.parameters(), lr=0.1)
    task(*batch()).total.backward()
    optimiser.step()
    again.load_state_dict({name: value.clone() for name, value in task.state_dict().items()})
    x, _ = batch(2)
    torch.testing.assert_close(again.eval().group(x).logits, task.eval().group(x).logits)


@pytest.mark.parametrize("way", ["old weight norm", "weight norm", "pruned", "own parametrisation"])
def test_computed_weights_that_are_not_drawn_anew_are_named(way):
    def build():
        net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
        WAYS[way](net[2])
        return net

    routes = sg.routes.branches(["2"], students=2)
    with pytest.warns(
        sg.FreshInitWarning, match=r"could not redraw (2\.parametrizations\.weight|2\.weight_)"
    ):
        group = sg.StudyGroup(build(), routes)
    x = torch.randn(4, 8)
    first, second = group.copies("2")
    torch.testing.assert_close(first(x) - first.bias, second(x) - second.bias)
    drawn = sg.StudyGroup(build(), routes, init=build)
    first, second = drawn.copies("2")
    assert not torch.allclose(first(x) - first.bias, second(x) - second.bias, atol=1e-2)


def test_a_builder_that_does_not_prune_is_refused_by_name():
    def plain():
        return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))

    net = plain()
    prune.l1_unstructured(net[0], "weight", amount=0.4)
    with pytest.raises(ValueError, match=r"layer '' has no '0\.weight_orig'.*treated alike"):
        sg.recipes.dml(net, init=plain)
    task = sg.recipes.dml(net, init="copy", students=2)
    assert all(not task.group.export(k)[0].weight[net[0].weight_mask == 0].any() for k in range(2))
