"""Every recipe with activations that are computed again in the backward pass, against those that are kept."""

import copy
import functools
import warnings
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointError, checkpoint

import studygroup as sg
from helpers.networks import CASES, Case, images
from helpers.ways import (
    RECIPES,
    Block,
    Net,
    assert_same,
    batch,
    build,
    case,
    gradients,
    losses,
    stepped,
)

EXACT = {"atol": 1e-10, "rtol": 1e-10}
CLOSE = {"atol": 1e-6, "rtol": 1e-4}


def recomputed(task: sg.CollaborativeLearning, way: str, dropout: float = 0.0) -> list[Block]:
    """The blocks of a task's networks, told to compute their activations again, and to drop some of them."""
    blocks = [module for module in task.modules() if isinstance(module, Block)]
    for block in blocks:
        block.recompute, block.calls, block.drop.p = way, 0, dropout
    return blocks


def assert_as_kept(name: str, ways: tuple[str, ...]) -> None:
    """Losses and gradients, with batch norm and dropout."""
    task = build(name)
    recomputed(task, "", 0.3)
    kept, expected = stepped(task)
    for way in ways:
        task = build(name)
        blocks = recomputed(task, way, 0.3)
        if name == "intra" and "reentrant" in way:  # whose losses are for single layers' own parameters
            with pytest.raises(ValueError, match="ran without gradient"):
                losses(task, *batch())
            continue
        found = losses(task, *batch())
        before = [block.calls for block in blocks]
        found.total.backward()
        own = {id(block) for block in task.group.modules()}
        assert all(block.calls > n for block, n in zip(blocks, before, strict=True) if id(block) in own)
        assert_same(found.values, kept.values, **CLOSE)
        assert_same(gradients(task), expected, **CLOSE)


@pytest.mark.parametrize("name", RECIPES)
def test_blocks_that_compute_their_activations_again(name):
    assert_as_kept(name, ("saved", "reentrant"))


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_calls_of_blocks_that_are_made_again(name):
    """With the blocks' own hooks, as former versions of transformers make them."""
    assert_as_kept(name, ("around", "around reentrant"))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("byot", {"inner": ["layer1.conv", "layer2.conv"]}),
        ("intra", {"mid": 1.0, "pull_push": 0.01, "inner": ["layer1.conv", "layer2.conv"]}),
    ],
)
def test_layers_inside_what_is_computed_again(name, parts):
    """Their gradients are right, or there is an error: reentrant checkpointing leaves them out of the graph."""
    x, _ = batch(dtype=torch.float64)
    made = getattr(sg.recipes, name)(Net().double(), example=x, **parts).double().train()
    _, expected = stepped(copy.deepcopy(made))
    recomputed(task := copy.deepcopy(made), "saved")
    assert_same(stepped(task)[1], expected, **EXACT)
    recomputed(task := copy.deepcopy(made), "reentrant")
    with pytest.raises(ValueError, match=r"layer 'layer\d.conv' ran without gradient.* use_reentrant=False"):
        stepped(task)


def test_views_inside_what_is_computed_again():
    """Students part at dropouts in the blocks: around these there is no computing again."""

    def new() -> nn.Module:
        net = Net()
        net.layer1.drop.p = net.layer2.drop.p = 0.3
        return net

    task = sg.recipes.intra(new(), example=batch()[0], out=1.0).train()
    recomputed(task, "saved", 0.3)
    with pytest.raises(ValueError, match=r"layer 'layer\d.drop' is routed and was called outside its group"):
        stepped(task)


def test_frozen_layers_may_run_without_gradient():
    class Trunk(Net):
        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                h = self.layer1(self.stem(x))
            return self.fc(self.layer2(h).mean((2, 3)))

    net = Trunk()
    x, y = batch()
    task = sg.recipes.byot(net, inner=["layer1"], example=x).train()
    with pytest.raises(
        ValueError, match=r"layer 'layer1' ran without gradient.* layer.requires_grad_\(False\)"
    ):
        task(x, y)
    net.layer1.requires_grad_(False)
    task = sg.recipes.byot(net, inner=["layer1"], example=x).train()
    task(x, y).total.backward()
    assert all(p.grad is not None for p in task.objectives[1].parameters())


class Around(Net):
    """Recomputes its last block from outside, as timm's vision transformers do."""

    reentrant = False

    def forward(self, x: Tensor) -> Tensor:
        h = self.layer1(self.stem(x))
        h = checkpoint(self.layer2, h, use_reentrant=self.reentrant)
        return self.fc(h.mean((2, 3)))


@pytest.mark.parametrize("reentrant", [False, True])
def test_around_routed_layers_there_is_a_way_out(reentrant):
    torch.manual_seed(1)
    net = Around()
    net.reentrant = reentrant
    task = sg.recipes.dml(sg.StudyGroup(net, sg.routes.branches(["layer2", "fc"], students=2), init=Around))
    found = losses(task.train(), *batch())
    with pytest.raises(ValueError, match=r"layer 'layer2' is routed.* switch it off.* their own forward"):
        found.total.backward()
    task = sg.recipes.dml(sg.StudyGroup(net, sg.routes.branches(["fc"], students=2), init=Around))
    losses(task.train(), *batch()).total.backward()


@pytest.mark.parametrize("peers", ["train", "eval"])
def test_consulted_peers_in_a_pass_of_their_own(peers):
    """What that pass has put aside is back when it would be computed again."""
    with_norm, without = (case(norm=norm) for norm in (True, False))
    options = {"students": 4, "peers": peers}
    task = sg.recipes.cgl(without.build(), layers=without.blocks, init=without.build, **options).train()
    _, expected = stepped(copy.deepcopy(task))
    recomputed(again := copy.deepcopy(task), "saved")
    assert_same(stepped(again)[1], expected, **CLOSE)
    recomputed(again := copy.deepcopy(task), "reentrant")
    if peers == "train":
        assert_same(stepped(again)[1], expected, **CLOSE)
    task = sg.recipes.cgl(with_norm.build(), layers=with_norm.blocks, init=with_norm.build, **options).train()
    recomputed(again := copy.deepcopy(task), "saved")
    found = losses(again, *batch())
    with pytest.raises(CheckpointError):
        found.total.backward()
    recomputed(again := copy.deepcopy(task), "reentrant")
    with pytest.raises(ValueError, match=r"of consulted peers is called inside .* peers='joint'"):
        stepped(again)


class Switched(nn.Module):
    """A layer with timm's switch, and one that a model sets in its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.grad_checkpointing, self.calls = nn.Linear(4, 4), False, 0

    def forward(self, x: Tensor) -> Tensor:
        if self.grad_checkpointing and torch.is_grad_enabled():
            return checkpoint(self.run, x, use_reentrant=False)
        return self.run(x)

    def run(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.linear(x).tanh()


@pytest.mark.parametrize("init", ["fresh", "copy", "new"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_switches_reach_every_students_layer(init, when):
    def new() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 4), Switched(), nn.Linear(4, 3))

    net = new()
    net[1].grad_checkpointing = when == "before"
    routes = sg.routes.branches(["1", "2"], students=3)
    group = sg.StudyGroup(net, routes, init=new if init == "new" else init)
    if when == "after":
        group.model[1].grad_checkpointing = True
    logits = group(torch.randn(6, 4)).logits
    before = [module.calls for module in group.copies("1")]
    logits.square().sum().backward()
    assert [module.calls for module in group.copies("1")] == [calls + 1 for calls in before]
    assert all(group.export(student)[1].grad_checkpointing for student in range(3))


def from_timm(name: str, on: bool, **options) -> nn.Module:
    import timm

    net = timm.create_model(name, num_classes=7, **options)
    net.set_grad_checkpointing(on)
    return net


def from_transformers(on: bool, reentrant: bool = False) -> nn.Module:
    net = CASES["bert"].build()
    if on:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # a later name says the same
            net.gradient_checkpointing_enable({"use_reentrant": reentrant})
    return net


def compare(name: str, made: Case, again: Case) -> None:
    """A recipe on a network whose library computes activations again, and on the same as it is."""
    found = []
    for one in (made, again):
        torch.manual_seed(0)
        task = RECIPES[name](one).double().train()
        x = one.inputs(8)
        x = x if isinstance(x, dict) else x.double()
        total = losses(task, x, torch.arange(8) % 7)
        total.total.backward()
        found.append((total.values, gradients(task)))
    assert_same(found[1][0], found[0][0], **EXACT)
    assert_same(found[1][1], found[0][1], **EXACT)


SHORT = ("byot", "cgl", "intra", "pcl")
SOME = [pytest.param(name, marks=pytest.mark.slow if name in SHORT else pytest.mark.long) for name in RECIPES]


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("name", SOME)
def test_transformers_switch(name, reentrant):
    own = CASES["bert"]
    made, again = (
        Case(
            functools.partial(from_transformers, on, reentrant),
            own.inputs,
            own.blocks,
            own.branch,
            own.source,
        )
        for on in (False, True)
    )
    refused = name == "intra" and reentrant  # whose losses are for single layers' own parameters
    with pytest.raises(ValueError, match="ran without gradient") if refused else nullcontext():
        compare(name, made, again)


@pytest.mark.parametrize("name", SOME)
def test_timms_switch_inside_routed_stages(name):
    own = CASES["timm_convnext"]
    made, again = (
        Case(functools.partial(from_timm, "test_convnext", on), own.inputs, own.blocks, own.branch)
        for on in (False, True)
    )
    compare(name, made, again)


@pytest.mark.slow
def test_timms_switch_around_routed_blocks_and_what_to_do_instead():
    import timm.models.vision_transformer as vit

    class Recomputed(vit.Block):
        def forward(self, x: Tensor, *args, **kwargs) -> Tensor:
            return checkpoint(super().forward, x, *args, use_reentrant=False, **kwargs)

    inputs, blocks = images(48), tuple(f"blocks.{i}" for i in range(6))
    made, again = (
        Case(
            functools.partial(from_timm, "test_vit", False, img_size=48, **options),
            inputs,
            blocks,
            blocks[5:],
        )
        for options in ({}, {"block_fn": Recomputed})
    )
    compare("cgl", made, again)
    assert again.build().state_dict().keys() == made.build().state_dict().keys()
    task = sg.recipes.pcl(made.build(), example=inputs(2), init=made.build).train()
    task(inputs(8), torch.arange(8) % 7).total.backward()
    task.group.model.set_grad_checkpointing()
    found = task(inputs(8), torch.arange(8) % 7)
    with pytest.raises(
        ValueError, match=r"layer 'blocks.5' is routed.* set_grad_checkpointing\(False\) in timm"
    ):
        found.total.backward()


@pytest.mark.slow
def test_a_switch_thrown_in_training_makes_the_comparison_again():
    """timm's ResNet then calls the blocks of the first student's stage, past the stages of the others."""
    made = functools.partial(from_timm, "test_resnet", False)
    group = sg.StudyGroup(made(), sg.routes.branches(["layer4", "fc"], students=2), init=made).train()
    x = images(32)(8)
    group(x)
    group.model.set_grad_checkpointing()
    with pytest.raises(
        ValueError, match=r"layer 'layer4' is routed but the model never calls it.* try without"
    ):
        group(x)
    group.model.set_grad_checkpointing(False)
    group(x).logits.sum().backward()
