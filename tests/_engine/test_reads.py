"""Parameters that a pass reads are those of its student: hidden ties are refused by name."""

import types

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.shipped import CLASSES, assert_ships


class HiddenTie(nn.Module):
    """The output layer reads the embedding's weight, which it does not own."""

    def __init__(self):
        super().__init__()
        self.embed, self.out = nn.Linear(6, 8), Reader()
        self.out.hidden = [self.embed]

    def forward(self, x):
        return self.out(self.embed(x).relu())


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8))

    def forward(self, h):
        return (h * self.scale) @ self.hidden[0].weight


class TiedParameter(HiddenTie):
    def __init__(self):
        super().__init__()
        self.out.hidden = [types.SimpleNamespace(weight=self.embed.weight)]


@pytest.mark.parametrize("build", [HiddenTie, TiedParameter])
@pytest.mark.parametrize("init", ["builder", "copy"])
@pytest.mark.parametrize("layers", [["embed"], ["out"], ["embed", "out"]])
def test_a_hidden_tie_is_found_by_what_a_pass_reads(build, init, layers):
    start = build if init == "builder" else "copy"
    group = sg.StudyGroup(build(), sg.routes.branches(layers, students=2), init=start, share_head=True)
    if layers == ["out"]:  # each copy refers to the one embedding, and an export to its own
        with torch.no_grad():
            group.model.out.bank[1].scale.mul_(2)
        assert_ships(group, torch.randn(4, 6))
        assert group.export(1).out.hidden[0].weight is not group.model.embed.weight
        return
    with pytest.raises(
        ValueError, match=r"layer 'out' reads (parameter 'embed\.weight'|a parameter of shape \(8, 6\))"
    ):
        group(torch.randn(4, 6))
    whole = sg.StudyGroup(build(), sg.routes.independent(students=2), init=start)
    whole(torch.randn(4, 6))  # the tie stays whole


class Inside(nn.Module):
    """Calls a layer that lies in a routed one, or reads its weight, past it."""

    def __init__(self, *, reads):
        super().__init__()
        self.block, self.fc, self.reads = (
            nn.Sequential(nn.Linear(6, 6), nn.ReLU()),
            nn.Linear(6, CLASSES),
            reads,
        )

    def forward(self, x):
        h = self.block(x)
        inner = self.block[0] if isinstance(self.block, nn.Sequential) else self.block.bank[0][0]
        return self.fc(h @ inner.weight if self.reads else inner(h))


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("init", ["builder", "copy"])
def test_a_layer_that_is_used_past_the_routed_one_is_named(reads, init):
    build = lambda: Inside(reads=reads)
    group = sg.StudyGroup(
        build(), sg.routes.branches(["block", "fc"], students=2), init=build if init == "builder" else "copy"
    )
    with pytest.raises(ValueError, match=r"student 1.*'block"):
        group(torch.randn(4, 6))


def hooked() -> nn.Module:
    net = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, CLASSES))
    net[1].register_forward_hook(lambda module, args, output: output + net[0].weight.sum())
    return net


def with_function() -> nn.Module:
    net = nn.Sequential(nn.Linear(6, 6), Calls(), nn.Linear(6, CLASSES))
    net[1].function = lambda h: h @ net[0].weight
    return net


class Calls(nn.Module):
    def forward(self, h):
        return self.function(h)


@pytest.mark.parametrize("build", [hooked, with_function])
def test_a_function_that_reads_the_network_handed_in_is_refused(build):
    for routes in (sg.routes.independent(students=2), sg.routes.independent(students=1)):
        with pytest.raises(
            ValueError, match=r"reads a parameter of shape \(6, 6\) that no module of the group owns"
        ):
            sg.StudyGroup(build(), routes, init=build)(torch.randn(4, 6))
