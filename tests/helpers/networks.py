"""The networks that everything must hold for, unchanged, with layers to route and a small batch."""

from collections.abc import Callable
from dataclasses import dataclass

import timm
import torch
import torchvision
from torch import nn

from studygroup.models import text_transformer, vdcnn9

CLASSES = 7


@dataclass(frozen=True)
class Case:
    """A network.

    Attributes:
        build: returns a new model.
        inputs: returns a batch of so many rows.
        blocks: layers for random routing; a tuple travels together.
        branch: layers of a branch, head included.
        source: the layer that turns an input of ids into numbers.
    """

    build: Callable[[], nn.Module]
    inputs: Callable[[int], torch.Tensor | dict[str, torch.Tensor]]
    blocks: tuple[str | tuple[str, ...], ...]
    branch: tuple[str, ...]
    source: str = ""


def binary(case: Case) -> dict[str, list[int]]:
    """Two heads on each of two branches."""
    twigs = {name: [0, 1, 2, 3] for name in case.branch}
    below = [
        b for b in case.blocks if isinstance(b, str) and not f"{b}.".startswith(tuple(f"{t}." for t in twigs))
    ]
    return {below[-1]: [0, 0, 1, 1]} | twigs


def inner(case: Case) -> list[str]:
    """Two layers with an output to classify."""
    return [block for block in case.blocks if isinstance(block, str)][:2]


def kernels(net: nn.Module) -> list[str]:
    """The last three layers with a matrix or kernels."""
    return [name for name, module in net.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)][-3:]


def images(size: int) -> Callable[[int], torch.Tensor]:
    return lambda rows: torch.randn(rows, 3, size, size, generator=torch.Generator().manual_seed(rows))


def texts(rows: int) -> dict[str, torch.Tensor]:
    """Token ids with padding of different length, as a mapping."""
    draw = torch.Generator().manual_seed(rows)
    lengths = torch.randint(3, 11, (rows, 1), generator=draw)
    mask = (torch.arange(10) < lengths).long()
    return {"input_ids": torch.randint(5, 50, (rows, 10), generator=draw) * mask, "attention_mask": mask}


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(48, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 16), nn.ReLU(),
        nn.Dropout(0.5), nn.Linear(16, CLASSES),
    )  # fmt: skip


def bert() -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16, num_labels=CLASSES, initializer_range=0.3, attn_implementation="sdpa",
    )  # fmt: skip
    return BertForSequenceClassification(config)


def vdcnn() -> nn.Module:
    return vdcnn9(
        CLASSES, vocabulary=50, embedding=4, width=4, pooled=2, hidden=8, dropout=0.5, shortcut=True
    )


def transformer() -> nn.Module:
    return text_transformer(
        CLASSES, vocabulary=50, embedding=12, hidden=16, heads=2, feed_forward=32, length=12
    )


def resnet() -> nn.Module:
    """Torchvision's own, with a quarter of the channels behind the stem, so that a step takes milliseconds."""
    with torch.device("meta"):  # nothing is drawn for the wide layers, which are replaced
        net = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1])
    net.conv1, net.bn1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(64)
    net.inplanes = 64
    for number, (planes, blocks) in enumerate([(16, 2), (32, 1), (64, 1), (128, 1)], 1):
        group = net._make_layer(torchvision.models.resnet.BasicBlock, planes, blocks, stride=1 + (number > 1))
        setattr(net, f"layer{number}", group)
    net.fc = nn.Linear(128, CLASSES)
    return net


def mobilenet() -> nn.Module:
    return torchvision.models.mobilenet_v3_small(num_classes=CLASSES, width_mult=0.25)


def from_timm(name: str, **options) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, num_classes=CLASSES, **options)


def assert_real_and_learning(net: nn.Module, x: torch.Tensor) -> None:
    """Every parameter is allocated, none is left on meta, and gets a gradient."""
    net(x).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.device.type == "cpu", name
        assert parameter.grad.abs().sum() > 0, name


STAGES = ("layer1.0", "layer1.1", "layer2.0", "layer3.0", "layer4.0")

CASES = {
    "resnet": Case(resnet, images(32), (("conv1", "bn1"), *STAGES), ("layer4", "fc")),
    "mobilenet": Case(
        mobilenet, images(32), tuple(f"features.{i}" for i in range(13)), ("features.12", "classifier")
    ),
    "timm_resnet": Case(
        from_timm("test_resnet"), images(32), (("conv1", "bn1"), "layer1.0", "layer2.0"), ("layer4", "fc")
    ),
    "timm_vit": Case(
        from_timm("test_vit", img_size=48),
        images(48),
        tuple(f"blocks.{i}" for i in range(6)),
        ("blocks.5", "head"),
    ),
    "timm_convnext": Case(
        from_timm("test_convnext"), images(64), ("stages.0", "stages.1", "stages.2"), ("stages.3", "head")
    ),
    "timm_efficientnet": Case(
        from_timm("test_efficientnet"),
        images(64),
        ("blocks.0", "blocks.1", "blocks.2"),
        ("blocks.3", "classifier"),
    ),
    "bert": Case(
        bert,
        texts,
        (("bert.embeddings",), *(f"bert.encoder.layer.{i}" for i in range(3))),
        ("bert.encoder.layer.2", "classifier"),
        "bert.embeddings",
    ),
    "mlp": Case(mlp, images(4), ("1", "4"), ("4", "7")),
}

# networks of classes of our own, whose exports need studygroup.models
OURS = {
    "vdcnn": Case(
        vdcnn,
        texts,
        (("embedding", "stem"), *(f"levels.{i}" for i in range(4))),
        ("levels.3", "fc"),
        "embedding",
    ),
    "transformer": Case(
        transformer,
        texts,
        (("embedding",), *(f"blocks.{i}" for i in range(3))),
        ("blocks.2", "fc"),
        "embedding",
    ),
}
