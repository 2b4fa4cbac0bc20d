"""The backward pass of single layers' losses: what it forms, what it keeps and what it takes."""

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

import studygroup as sg
from helpers.intra_loops import CLASSES, LAYERS, Net, batch, plain, pull_push_of, sizes
from studygroup.analysis.cost import allocated
from studygroup.objectives import Layer, LocalClassifiers, PullPush, Supervised


def parts(shapes) -> list[sg.objectives.Local]:
    torch.manual_seed(1)
    options = {"classes": CLASSES, "channels": 3}
    mid = LocalClassifiers(shapes, size=2, weight=0.7, **options)
    return [mid, PullPush(shapes, pull=(0.2, 0.9), push=(0.7, 0.1), weight=0.4, **options)]


def over(net: nn.Module, layers: list[Layer], x) -> sg.CollaborativeLearning:
    group = sg.StudyGroup(net, sg.routes.independent(students=1))
    shapes = sg.objectives.shapes(group, x.float(), layers=layers)
    return sg.CollaborativeLearning(group, [Supervised(), *parts(shapes)])


def gradients(task: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in task.named_parameters() if p.grad is not None}


def assert_same(found, expected, **tolerances) -> None:
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], **(tolerances or {"atol": 1e-12, "rtol": 1e-11}))


def by_inputs(task: sg.CollaborativeLearning, x, y) -> dict[str, torch.Tensor]:
    """Gradients of the same task by `backward(inputs=...)`, each layer's losses after another."""
    _, mid, pull_push = task.objectives
    outputs = task.group(x, capture=mid.capture)
    F.cross_entropy(outputs.logits[0], y).backward(retain_graph=True)
    above = [outputs.logits[0].detach()]
    for layer in reversed(mid.layers):
        ((_, hidden),) = outputs.in_flight[layer]
        logits = mid.head(layer)(hidden)
        target = (torch.stack(above).mean(0) / 2).softmax(-1)
        above.append(logits.detach())
        local = 0.05 * F.cross_entropy(logits / 2, y) + 0.05 * F.cross_entropy(logits / 2, target)
        pull, push = pull_push.weights[layer]
        projected = pull_push.head(layer)(hidden)
        compared = pull_push_of(projected, x, y, pull=pull, push=push)
        own = [module for name in layer.modules for module in task.group.copies(name)]
        learning = [p for m in (*own, mid.head(layer), pull_push.head(layer)) for p in m.parameters()]
        (0.7 * local + 0.4 * compared).backward(inputs=learning, retain_graph=True)
    return gradients(task)


class Block(nn.Module):
    """Two convolutions with a bias each around a shortcut; the last activation is a function, in place or not."""

    def __init__(self, width: int, *, inplace: bool) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.second, self.inplace = nn.Conv2d(width, width, 3, padding=1, groups=width), inplace

    def forward(self, x):
        return F.relu(self.second(F.relu(self.norm(self.first(x)), self.inplace)) + x, self.inplace)


class Chain(nn.Module):
    """A stem, two blocks and a linear map behind the mean."""

    def __init__(self, *, inplace: bool = False, recompute: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 4, 3, stride=2)
        self.blocks = nn.ModuleList(Block(4, inplace=inplace) for _ in range(2))
        self.fc = nn.Linear(4, CLASSES)
        self.inplace, self.recompute = inplace, recompute

    def forward(self, x):
        x = F.relu(self.stem(x), self.inplace)
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.recompute else block(x)
        return self.fc(x.mean((2, 3)))


BLOCKS = [Layer(("stem",)), Layer(("blocks.0",)), Layer(("blocks.1",))]
INSIDE = [
    Layer(("stem",)),
    Layer(("blocks.0.first", "blocks.0.norm")),
    Layer(("blocks.0",)),
    Layer(("blocks.1",)),
]


@pytest.mark.parametrize(
    ("layers", "options"),
    [(BLOCKS, {}), (INSIDE, {}), (INSIDE, {"inplace": True}), (INSIDE, {"recompute": True})],
)
def test_layers_of_any_size_learn_what_backward_gives(layers, options):
    """Blocks of several convolutions, one layer inside another, work in place behind a layer, activations
    computed again."""
    x, y = batch()
    task = over(Chain(**options), layers, x).double()
    other = copy.deepcopy(task)
    task(x, y).total.backward()
    assert_same(gradients(task), by_inputs(other, x, y))


def whole() -> sg.CollaborativeLearning:
    return plain(*parts(sizes())).eval()


def test_whatever_multiplies_the_total_multiplies_local_gradients():
    task = whole()
    x, y = batch()
    task(x, y).total.backward()
    expected = gradients(task)
    task.zero_grad()
    for factor in (0.25, 0.75):
        (factor * task(x, y).total).backward()
    assert_same(gradients(task), expected)
    found = torch.autograd.grad(task(x, y).total, list(task.parameters()))
    assert_same(dict(zip(expected, found, strict=True)), expected)


def test_the_graph_may_be_gone_through_twice():
    task = whole()
    total = task(*batch()).total
    total.backward(retain_graph=True)
    once = gradients(task)
    total.backward()
    assert_same(gradients(task), {name: 2 * gradient for name, gradient in once.items()})


def test_each_parameter_is_accumulated_once():
    task = whole()
    seen = []
    for name, parameter in task.named_parameters():
        parameter.register_post_accumulate_grad_hook(lambda p, name=name: seen.append((name, p.grad.clone())))
    task(*batch()).total.backward()
    assert sorted(name for name, _ in seen) == sorted(name for name, _ in task.named_parameters())
    assert_same(dict(seen), gradients(task))


def test_under_autocast_local_gradients_are_those_of_an_ordinary_pass():
    """Inside the region too, where weights that were cast without gradient are remembered."""
    found = []
    x, y = batch(torch.float32)
    for inside in (False, True):
        task = whole().float()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            total = task(x, y).total
            if inside:
                total.backward()
        if not inside:
            total.backward()
        found.append(gradients(task))
    single = whole().float()
    single(x, y).total.backward()
    assert_same(found[1], found[0], atol=1e-6, rtol=1e-5)
    for name, gradient in gradients(single).items():
        assert (found[0][name] - gradient).norm() < 0.1 * gradient.norm() + 1e-3, name


def test_a_hook_of_an_activation_does_not_change_a_local_gradient_twice():
    """It doubles the layer's gradient, the local one too, once."""
    doubled = []
    for times in (1, 2):
        task = whole()
        task.objectives[0].weight = lambda progress: 0.0

        def multiply(module, args, output, times=times):
            if output.requires_grad:
                output.register_hook(lambda gradient: times * gradient)

        for relu in task.group.copies("relu"):
            relu.register_forward_hook(multiply)
        task(*batch()).total.backward()
        doubled.append(task.group.copies("conv3")[0].weight.grad)
    torch.testing.assert_close(doubled[1], 2 * doubled[0])


SIDES = [24, 24, *[12] * 12]


def narrow() -> tuple[nn.Module, list[Layer]]:
    """Two layers with large maps below twelve with small ones."""
    torch.manual_seed(0)
    layers = [
        [nn.Conv2d(8 if i else 3, 8, 3, padding=1, stride=1 + (i == 2)), nn.BatchNorm2d(8), nn.ReLU(True)]
        for i in range(len(SIDES))
    ]
    net = nn.Sequential(
        *itertools.chain(*layers), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES)
    )
    return net, [Layer((str(3 * i), str(3 * i + 1)), activated=True) for i in range(len(SIDES))]


def pictures(rows: int = 16, side: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(rows, 3, side, side), torch.arange(rows) % CLASSES


def test_a_step_keeps_next_to_nothing_more_than_the_plain_network():
    net, layers = narrow()
    x, y = pictures()
    without, task = sg.recipes.baseline(net), over(net, layers, x)
    kept = []
    for each in (without, task):
        each(x, y)  # the dry run
        kept.append(allocated(lambda each=each: each(x, y).total, x.device).left)
    answers = len(layers) * len(x) * (CLASSES + 3) * 4
    similarities = 2 * len(x) ** 2 * 4  # of labels and pictures, kept until the next step
    assert kept[0] + answers + similarities < kept[1] < kept[0] + answers + 1.5 * similarities


def test_a_step_takes_little_more_memory_than_the_plain_network_at_its_peak():
    """One layer's gradients, and what is built on it, when all above is gone."""
    net, layers = narrow()
    x, y = pictures()
    peaks = []
    for task in (sg.recipes.baseline(net), over(net, layers, x)):
        task(x, y)  # the dry run
        peaks.append(allocated(lambda task=task: task(x, y).total.backward(), x.device).peak)
    assert peaks[1] < 1.2 * peaks[0]


def test_a_layers_local_gradient_takes_no_product_of_its_own():
    """What is built on the layers answers twice and learns once: four products for each of its convolutions."""
    net, layers = narrow()
    x, y = pictures(rows=4)
    counted = []
    for task in (sg.recipes.baseline(net), over(net, layers, x)):
        task(x, y)  # the dry run
        with FlopCounterMode(display=False) as counter:
            task(x, y).total.backward()
        counted.append(counter.get_total_flops())
    products = sum(
        len(x) * (2 * 2 * 8 * 3 * 9 + 3 * 4 * CLASSES) + len(x) * side**2 * 8 * 3 * 9 for side in SIDES
    )
    similarities = counted[1] - counted[0] - 4 * 2 * products
    assert 0 <= similarities <= 3 * 2 * len(x) ** 2 * (3 * len(layers) + CLASSES + 3)


def test_a_layer_of_two_convolutions_takes_one_product_more():
    """Of the local gradient with the upper one's weights; the lower one's input needs none."""
    net, _ = narrow()
    x, y = pictures(rows=4)
    counted = []
    for names in (("39",), ("36", "37", "38", "39")):
        task = over(net, [Layer(names)], x)
        task(x, y)  # the dry run
        with FlopCounterMode(display=False) as counter:
            task(x, y).total.backward()
        counted.append(counter.get_total_flops())
    assert counted[1] - counted[0] == 2 * len(x) * 12**2 * 8 * 8 * 9


def test_copies_that_work_on_other_rows_have_no_part_in_a_pieces_gradient():
    """Three copies, one without rows; each learns as alone."""
    x, y = batch()
    group = sg.StudyGroup(Net(), sg.routes.branches(["conv2", "bn2", "conv3", "bn3", "fc"], students=3))
    task = sg.CollaborativeLearning(group, [Supervised(), *parts(sizes())]).double().eval()
    losses = task(x, y, owner=[0, 1, 0, 1, 0])
    losses.total.backward()
    found = [[m.weight.grad for m in group.copies(f"conv{number}")] for number in LAYERS[1:]]
    assert all(first.any() and second.any() and third is None for first, second, third in found)
