"""The intra-model paper's whole loss against loops in float64, and every part on every kind of network."""

import copy
import functools
import math

import pytest
import timm
import torch
from torch import nn

import studygroup as sg
from helpers.intra_loops import (
    CLASSES,
    LABELS,
    LAYERS,
    ROWS,
    Net,
    batch,
    deviations,
    distance,
    kernel_by_loop,
    linear,
    mid_by_loop,
    one_hot,
    out_by_loop,
    similarity,
)
from helpers.networks import CASES, OURS, bert
from helpers.parts import further, objective
from studygroup import models
from studygroup.objectives import KernelDecorrelation, LocalClassifiers, PullPush, song_chai

CLOSE = {"atol": 1e-9, "rtol": 1e-9}  # a rule's weights, one third here, come in single precision


def make(**weights) -> sg.CollaborativeLearning:
    torch.manual_seed(0)
    return sg.recipes.intra(Net(), example=batch(torch.float32)[0], **weights).double()


def views(task: sg.CollaborativeLearning, net: Net, features: torch.Tensor) -> list[list[torch.Tensor]]:
    """z[view][row] of a plain copy, with the masks that were drawn: two of one mask, then two for each of these."""
    first, second = ([module.mask for module in task.group.copies(name)] for name in ("fc.2", "fc.5"))
    answers = []
    for view in range(4):
        answers.append([])
        for n in range(ROWS):
            # rows stand by lowest student, then by sample: a mask of the second dropout serves two views
            h = net.fc[:2](features[n]) * first[view // 2][n]
            answers[-1].append(net.fc[6](net.fc[3:5](h) * second[view % 2][view // 2 * ROWS + n]))
    return answers


def test_the_output_layer():
    """L_out alone: K^n = 4 views, the backbone once."""
    task, (x, y) = make(out=1.0), batch()
    net = task.group.export(0).train()
    calls = []
    task.group.copies("conv3")[0].register_forward_hook(lambda module, given, out: calls.append(len(out)))
    losses = task(x, y)
    losses.total.backward()
    z = views(task, net, net.inner(x)[-1].mean((2, 3)))
    expected = out_by_loop(z)
    expected.backward()
    assert losses.logits.shape == (4, ROWS, CLASSES)
    assert calls[-1] == ROWS
    torch.testing.assert_close(losses.total, expected, **CLOSE)
    for name, parameter in net.named_parameters():
        (module,) = task.group.copies(name.rpartition(".")[0])
        found = module.get_parameter(name.rpartition(".")[2]).grad
        torch.testing.assert_close(found, parameter.grad, **CLOSE)


def test_all_four_together():
    task, (x, y) = make(out=0.9, mid=0.8, pull_push=0.1, kernel=0.2), batch()
    net = task.group.export(0).train()
    mid, pull_push, _ = further(task)
    heads, projections = copy.deepcopy(mid.heads), copy.deepcopy(pull_push.projections)
    losses = task(x, y)
    losses.total.backward()

    hidden = net.inner(x)
    out = views(task, net, hidden[-1].mean((2, 3)))
    z = [[head(h[n : n + 1])[0] for n in range(ROWS)] for head, h in zip(heads, hidden, strict=True)]
    z.append([sum(out[view][n] for view in range(4)) / 4 for n in range(ROWS)])
    labels, pictures = similarity(one_hot(LABELS)), similarity(deviations(x))
    kernel = sum(kernel_by_loop(net.get_parameter(f"{name}.weight")) for name in ("conv1", "conv2", "conv3"))
    everywhere = 0.9 * out_by_loop(out) + 0.2 * kernel
    local, sums = 0, [0, 0]
    for i, number in enumerate(LAYERS):
        own = similarity(deviations(projections[i](hidden[i])))
        to_labels, to_input = distance(own, labels), distance(own, pictures)
        each = (
            sum(mid_by_loop(z, n, i) for n in range(ROWS)) / ROWS,
            linear(i, 0, 1) * to_labels - linear(i, 1, 0) * to_input,
        )
        sums = [a + b for a, b in zip(sums, each, strict=True)]
        loss = 0.8 * each[0] + 0.1 * each[1]
        loss.backward(
            inputs=[*net.of_layer(number), *heads[i].parameters(), *projections[i].parameters()],
            retain_graph=True,
        )
        local = local + loss
    everywhere.backward()
    torch.testing.assert_close(losses.total, everywhere + local, **CLOSE)
    for name, value in (("mid", sums[0]), ("pull_push", sums[1]), ("kernel", kernel)):
        torch.testing.assert_close(losses.auxiliary[name].detach(), value.detach(), atol=1e-12, rtol=1e-12)
    for name, parameter in net.named_parameters():
        (module,) = task.group.copies(name.rpartition(".")[0])
        found = module.get_parameter(name.rpartition(".")[2]).grad
        torch.testing.assert_close(found, parameter.grad, **CLOSE)
    for parts, expected in ((mid.heads, heads), (pull_push.projections, projections)):
        for found, parameter in zip(parts.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(found.grad, parameter.grad, **CLOSE)


def test_without_l_out_the_labels_loss_stays():
    task, (x, y) = make(mid=1.0), batch()
    losses = task(x, y)
    assert task.group.students == 1
    torch.testing.assert_close(losses.total, losses.supervised[0] + losses.auxiliary["mid"])
    torch.testing.assert_close(losses.supervised[0], nn.functional.cross_entropy(losses.logits[0], y))


def test_the_papers_networks():
    """17 layers and 13, four groups and five, dropout in the first two of three fully connected layers."""
    x = torch.randn(2, 3, 32, 32)
    for net, count, groups in (
        (models.build("cifar_resnet18", classes=3, width=4, hidden=(8, 8)), 17, ("layer3.", "layer4.")),
        (models.build("cifar_vgg16", classes=3, width=4, hidden=(8, 8)), 13, None),
    ):
        task = sg.recipes.intra(net, example=x, out=1.0, mid=1.0, pull_push=0.01, kernel=0.01)
        mid, pull_push, kernel = further(task)
        assert len(mid.layers) == len(pull_push.layers) == count
        imitation, weights = objective(task, "imitation"), task.weights(0.0)
        assert (task.group.students, imitation.temperature, imitation.divergence) == (4, 2.0, "cross_entropy")
        assert (weights["supervised"], weights["imitation"], task.reduction) == (0.5, 0.5, "mean")
        if groups:
            assert len(kernel.names) == 8
            assert all(name.startswith(groups) for name in kernel.names)
            assert task.group.routes.layers == ("fc.2", "fc.5")
        else:
            assert kernel.names == (
                "features.24",
                "features.27",
                "features.30",
                "features.34",
                "features.37",
                "features.40",
            )
            assert task.group.routes.layers == ("classifier.2", "classifier.5")


def vit() -> nn.Module:
    return timm.create_model("test_vit", img_size=48, num_classes=CLASSES, drop_rate=0.1)


TRANSFORMERS = {
    "bert": (
        bert,
        CASES["bert"].inputs,
        {"inner": ["bert.encoder.layer.0", "bert.encoder.layer.1"], "source": "bert.embeddings"},
        ["bert.encoder.layer.2.output.dense", "classifier"],
        ("dropout",),
    ),
    "transformer": (
        OURS["transformer"].build,
        OURS["transformer"].inputs,
        {"inner": ["blocks.0", "blocks.1"], "source": "embedding"},
        ["blocks.2.layer.linear2", "fc"],
        ("dropout",),
    ),
    "vdcnn": (
        OURS["vdcnn"].build,
        OURS["vdcnn"].inputs,
        {"inner": ["levels.0", "levels.2"], "source": "embedding"},
        ["levels.3.conv2", "fc.6"],
        ("fc.2", "fc.5"),
    ),
    "vit": (
        vit,
        CASES["timm_vit"].inputs,
        {"inner": ["blocks.1", "blocks.3"]},
        ["blocks.5.mlp.fc2", "patch_embed.proj"],
        ("head_drop",),
    ),
    "mlp": (
        CASES["mlp"].build,
        CASES["mlp"].inputs,
        {"inner": ["1", "4"], "source_statistic": "flatten"},
        ["1", "4"],
        ("3", "6"),
    ),
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_all_four_on_networks_without_a_stack_of_convolutions(name):
    """Token representations are maps of one dimension; views over the last dropouts where rows can part."""
    torch.manual_seed(0)
    build, inputs, layers, kernels, dropouts = TRANSFORMERS[name]
    net = build()
    task = sg.recipes.intra(
        net, example=inputs(2), out=1.0, mid=1.0, pull_push=0.1, kernel=0.1, kernels=kernels, **layers
    )
    assert task.group.routes.layers == dropouts
    assert [layer.tokens for layer in objective(task, "mid").layers] == [name != "mlp"] * 2
    losses = task(inputs(5), torch.tensor(LABELS))
    losses.total.backward()
    assert losses.logits.shape == (2 ** len(dropouts), 5, CLASSES)
    assert losses.total.isfinite()
    still = [
        n for n, p in task.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    # softmax over keys does not see their bias
    assert [n for n in still if "key.bias" not in n] == []
    assert list(task.group.export(3 % task.group.students).state_dict()) == list(net.state_dict())


def test_the_convolutions_of_a_network_for_texts():
    """As in networks for pictures, nothing need be named but what stands for the input."""
    torch.manual_seed(0)
    net, x = OURS["vdcnn"].build(), OURS["vdcnn"].inputs
    task = sg.recipes.intra(
        net, example=x(2), out=1.0, mid=1.0, pull_push=0.1, kernel=0.1, source="embedding"
    ).double()
    mid, _, kernel = further(task)
    inside = [(f"levels.{i}.conv{j}", f"levels.{i}.bn{j}") for i in range(4) for j in (1, 2)]
    assert [layer.modules for layer in mid.layers] == [("stem",), *inside]
    assert not any(layer.tokens for layer in mid.layers)
    assert kernel.names == ("levels.2.conv1", "levels.2.conv2", "levels.3.conv1", "levels.3.conv2")
    losses = task(x(5), torch.tensor(LABELS))
    losses.total.backward()
    assert losses.logits.shape == (4, 5, CLASSES)
    assert all(value.isfinite() and value != 0 for value in losses.auxiliary.values())
    assert [n for n, p in task.named_parameters() if p.grad is None or not p.grad.any()] == []
    longer = {key: value.repeat(1, 3) for key, value in x(5).items()}
    assert task(longer, torch.tensor(LABELS)).total.isfinite()


def test_a_transformer_blocks_loss_trains_that_block_alone():
    torch.manual_seed(0)
    layer = "bert.encoder.layer.1"
    task = sg.recipes.intra(bert(), example=CASES["bert"].inputs(2), mid=1.0, inner=[layer]).double()
    labels, part = task.objectives
    labels.weight = lambda progress: 0.0
    task.eval()
    x, y = CASES["bert"].inputs(5), torch.tensor(LABELS)
    task(x, y).total.backward()
    learning = [*task.group.copies(layer)[0].parameters(), *part.heads.parameters()]
    found = [p.grad for p in learning]
    inside = {id(p) for p in learning}
    assert not any(p.grad.any() for p in task.parameters() if id(p) not in inside and p.grad is not None)
    task.zero_grad()
    outputs = task.group(x, capture=part.capture)
    logits = part.heads[0](outputs.in_flight[part.layers[0]][0][1]) / 2
    target = (outputs.logits[0].detach() / 2).softmax(-1)
    loss = 0.05 * nn.functional.cross_entropy(logits, y) + 0.05 * nn.functional.cross_entropy(logits, target)
    loss.backward(inputs=learning)
    for gradient, parameter in zip(found, learning, strict=True):
        torch.testing.assert_close(gradient, parameter.grad, atol=1e-12, rtol=1e-12)
    assert sum(gradient.abs().max() > 1e-9 for gradient in found) >= len(found) - 1  # a key's bias has none


def test_a_part_may_say_how_its_module_is_made():
    task = sg.recipes.intra(
        Net(),
        example=batch(torch.float32)[0],
        mid=functools.partial(LocalClassifiers, alpha=0.3, weight=0.5),
        pull_push=functools.partial(PullPush, centre="batch"),
        kernel=functools.partial(KernelDecorrelation, weight=sg.schedules.ramp_up(0.0, 0.2)),
        kernels=["conv1"],
    )
    mid, pull_push, kernel = further(task)
    assert (mid.alpha, mid.beta, mid.weight(0.0), len(mid.heads)) == (0.3, 0.05, 0.5, 3)
    assert (pull_push.centre, pull_push.weight(0.0)) == ("batch", 1.0)
    assert (kernel.names, kernel.weight(0.0), kernel.weight(1.0)) == (
        ("conv1",),
        pytest.approx(math.exp(-5)),
        1.0,
    )


def dropouts_in_residuals() -> nn.Module:
    layer = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.1, batch_first=True)
    return nn.Sequential(nn.Unflatten(1, (4, 6)), layer, nn.Flatten(), nn.Linear(24, CLASSES))


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        (
            nn.Sequential(nn.Flatten(), nn.Dropout(0.0), nn.Linear(24, CLASSES)),
            {"out": 1.0},
            "dropout with p = 0 '1'",
        ),
        (nn.Sequential(nn.Flatten(), nn.Identity(), nn.Linear(24, CLASSES)), {"out": 1.0}, "nn.Identity '1'"),
        (nn.Sequential(nn.Flatten(), nn.Linear(24, CLASSES)), {"out": 1.0}, "found nothing of the kind"),
        (
            nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Dropout(0.0), nn.Linear(24, CLASSES)),
            {"out": 1.0, "dropouts": ["1", "2"]},
            "layer '2' is not one that drops something in training; those are 1",
        ),
        (dropouts_in_residuals(), {"out": 1.0}, "1.dropout and 1.dropout2, are inside residual connections"),
        (nn.Sequential(nn.Flatten(), nn.Linear(24, CLASSES)), {"mid": 1.0}, "name the layers yourself"),
        (nn.Sequential(nn.Flatten(), nn.Linear(24, CLASSES)), {"kernel": 1.0}, "name the layers yourself"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(24, CLASSES)),
            {"mid": 1.0, "inner": ["2"]},
            "Sequential has no layer '2'",
        ),
        (nn.Sequential(nn.Flatten(), nn.Linear(24, CLASSES)), {}, "all parts of intra are off"),
    ],
)
def test_what_cannot_be_done_says_so(net, options, message):
    with pytest.raises(ValueError, match=message):
        sg.recipes.intra(net, example=torch.randn(2, 24), **options)


def test_in_evaluation_all_views_are_one():
    task, (x, _) = make(out=1.0).eval(), batch()
    logits = task.group(x).logits
    torch.testing.assert_close(logits, task.group.export(2).eval()(x).expand(4, -1, -1))


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_autocast(precision):
    task = make(out=1.0, mid=1.0, pull_push=0.1, kernel=0.1).float()
    with torch.autocast("cpu", dtype=precision):
        losses = task(*batch(torch.float32))
    losses.total.backward()
    assert losses.total.dtype == torch.float32
    assert all(value.dtype == torch.float32 and value.isfinite() for value in losses.auxiliary.values())
    assert all(p.grad.isfinite().all() for p in task.parameters())


def test_views_of_every_branch():
    """Two tables composed: each of two branches has four views, and all eight learn from each other."""
    torch.manual_seed(0)
    branches = sg.routes.branches(["conv3", "bn3", "fc.0", "fc.3", "fc.6"], students=2)
    routes = sg.routes.compose(branches, sg.routes.hierarchical_dropout(["fc.2", "fc.5"]))
    objectives = [*song_chai(0.5, 2.0), KernelDecorrelation(["conv3"], weight=0.1)]
    task = sg.CollaborativeLearning(sg.StudyGroup(Net(), routes), objectives, reduction="mean").double()
    x, y = batch()
    nets = [task.group.export(4 * branch).train() for branch in range(2)]
    losses = task(x, y)
    losses.total.backward()
    first, second = ([module.mask for module in task.group.copies(name)] for name in ("fc.2", "fc.5"))
    z = []
    for branch, net in enumerate(nets):
        features = net.inner(x)[-1].mean((2, 3))
        for one in range(2):
            h = net.fc[:2](features) * first[one][branch * ROWS :][:ROWS]
            for other in range(2):
                mask = second[other][(2 * branch + one) * ROWS :][:ROWS]
                z.append(net.fc[6](net.fc[3:5](h) * mask))
    torch.testing.assert_close(losses.logits, torch.stack(z), atol=1e-12, rtol=1e-12)
    expected = out_by_loop(z) + 0.1 * sum(kernel_by_loop(net.conv3.weight) for net in nets)
    expected.backward()
    torch.testing.assert_close(losses.total, expected, **CLOSE)
    for name in ("conv3", "fc.0", "fc.6"):
        for net, module in zip(nets, task.group.copies(name), strict=True):
            torch.testing.assert_close(module.weight.grad, net.get_parameter(f"{name}.weight").grad, **CLOSE)
    shared = sum(net.conv1.weight.grad for net in nets)
    torch.testing.assert_close(task.group.copies("conv1")[0].weight.grad, shared, **CLOSE)
    assert list(task.group.export(5).state_dict()) == list(Net().state_dict())


def trained(weight: float) -> tuple[float, float]:
    """Labels' loss and kernel loss after some steps of collaborative group learning."""
    torch.manual_seed(0)
    layers = [("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")]
    task = sg.recipes.cgl(Net(), layers=layers, students=4, probability=0.5)
    kernel = KernelDecorrelation(["conv2", "conv3"], weight=weight)
    task = sg.CollaborativeLearning(task.group, [*task.objectives, kernel], rows=task.rows)
    optimiser = torch.optim.Adam(task.parameters(), lr=1e-2)
    x, y = torch.randn(16, 3, 6, 6), torch.arange(16) % CLASSES
    for _ in range(15):
        losses = task(x, y, owner=[n // 4 for n in range(16)])
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
    return losses.supervised.mean().item(), losses.auxiliary["kernel"].item()


@pytest.mark.slow
def test_kernels_of_a_group_that_routes_at_random():
    (plain, alike), (own, apart) = trained(0.0), trained(0.1)
    assert apart < 0.5 * alike
    assert own < plain + 0.2


def test_one_view_has_none_to_learn_from():
    with pytest.raises(ValueError, match="views is 1"):
        sg.recipes.intra(Net(), example=batch(torch.float32)[0], out=1.0, views=1)
